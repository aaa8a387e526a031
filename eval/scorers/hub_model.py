"""Loads a model of transformers from its folder, and an adapter of PEFT into it."""

import gc
from importlib.util import find_spec
from pathlib import Path

import torch

from eval.hub import base_of
from eval.model import Model
from eval.scorers.hugging_face import HuggingFaceScorer
from geo_nemo.config import UserError
from geo_nemo.export.libraries import line_of
from geo_nemo.export.loaded import whole_model

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_hugging_face(model: Model, device: str, dtype: str) -> HuggingFaceScorer:
    """The model of a folder; `UserError` where its files are no whole causal model."""
    where = f"runs.{model.name}={model.folder}"
    if find_spec("transformers") is None:
        raise UserError(
            f"{where} is a model of transformers, which is not here: pip install 'geo-nemo[eval]'"
        )
    from geo_nemo.runtime.device import resolve_device

    target = resolve_device(device)
    base = base_of(where, model.folder)
    # What the last model left behind goes before this one comes.
    gc.collect()
    loaded = whole_model(base, DTYPES[dtype], where)
    if base != model.folder:
        loaded = _adapted(where, loaded, model.folder)
    scorer = HuggingFaceScorer(loaded.to(target).eval(), model.seq_length, target)
    if not scorer.is_causal():
        raise UserError(
            f"{where} reads what stands behind a word before it tells the word: give a causal "
            "language model"
        )
    return scorer


def _adapted(where: str, loaded: torch.nn.Module, folder: Path) -> torch.nn.Module:
    try:
        from peft import PeftModel
    except ImportError:
        raise UserError(
            f"{where} is an adapter of PEFT, which is not here: pip install peft"
        ) from None
    try:
        # Merged, it costs nothing at each token.
        return PeftModel.from_pretrained(loaded, folder).merge_and_unload()
    except Exception as error:  # as above
        raise UserError(f"{where}: its adapter does not load: {line_of(error)}") from None
