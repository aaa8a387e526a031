"""Loads a model of transformers from its folder, and an adapter of PEFT into it."""

import gc
from importlib.util import find_spec

import torch

from eval.hub import base_of
from eval.model import ADAPTER_RECORD, Model
from eval.scorers.hugging_face import HuggingFaceScorer
from geo_nemo.config import UserError
from geo_nemo.export.adapters import adapted, check_base
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
    check_base(model.folder, base, f"put that one's folder into its {ADAPTER_RECORD}")
    # What the last model left behind goes before this one comes.
    gc.collect()
    loaded = whole_model(base, DTYPES[dtype], where)
    if base != model.folder:
        loaded = adapted(loaded, model.folder, where, "eval")
    scorer = HuggingFaceScorer(loaded.to(target).eval(), model.seq_length, target)
    if not scorer.is_causal():
        raise UserError(
            f"{where} reads what stands behind a word before it tells the word: give a causal "
            "language model"
        )
    return scorer
