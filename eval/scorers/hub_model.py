"""Loads a model of transformers from its folder, and an adapter of PEFT into it."""

import gc
from pathlib import Path

import torch

from eval.hub import base_of
from eval.model import Model
from eval.scorers.hugging_face import HuggingFaceScorer
from geo_nemo.config import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_hugging_face(model: Model, device: str, dtype: str) -> HuggingFaceScorer:
    """The model of a folder; `UserError` where transformers or PEFT refuse it, or are not there."""
    where = f"runs.{model.name}={model.folder}"
    try:
        from transformers import AutoModelForCausalLM
    except ImportError:
        raise UserError(
            f"{where} is a model of transformers, which is not here: pip install 'geo-nemo[eval]'"
        ) from None
    from geo_nemo.runtime.device import resolve_device

    target = resolve_device(device)
    base = base_of(where, model.folder)
    # What the last model left behind goes before this one comes.
    gc.collect()
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            base, dtype=DTYPES[dtype], local_files_only=True, trust_remote_code=False,
            use_safetensors=True, low_cpu_mem_usage=True,
        )  # fmt: skip
    except Exception as error:  # transformers raises errors of every class for a folder's faults
        raise UserError(f"{where} does not load: {_line(error)}") from None
    if base != model.folder:
        loaded = _adapted(where, loaded, model.folder)
    return HuggingFaceScorer(loaded.to(target).eval(), model.seq_length, target)


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
        raise UserError(f"{where}: its adapter does not load: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
