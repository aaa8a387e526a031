"""What an export tells programs: settings of model and generation, and how it was trained."""

from typing import Any

from geo_nemo import __version__
from geo_nemo.config.average import Weights
from geo_nemo.export.source import Source
from geo_nemo.model.hugging_face_config import architecture
from geo_nemo.model.hugging_face_names import LLAMA_3, SETTINGS
from geo_nemo.tokenizers.base import Tokenizer, control_tokens
from geo_nemo.train.checkpoint.files import identity_of

FORMAT = 1
_TYPES = {"bf16": "bfloat16", "fp32": "float32"}


def model_settings(source: Source, dtype: str) -> dict[str, Any]:
    """config.json, under the names that transformers 4 and 5 and other programs read."""
    model, tokenizer = source.run.model, source.tokenizer
    kind, scaling = architecture(model), None
    if model.rotary_scaling is not None:
        scaling = {"rope_type": "llama3", "factor": model.rotary_scaling, **LLAMA_3}
    return {
        "architectures": [f"{kind}ForCausalLM"],
        "model_type": kind.lower(),
        **{theirs: getattr(model, ours) for theirs, ours in SETTINGS.items()},
        "head_dim": model.head_size,
        "hidden_act": "silu",
        "attention_bias": False,
        **({"mlp_bias": False} if kind == "Llama" else {"use_sliding_window": False}),
        "rope_theta": model.rotary_base,
        "rope_scaling": scaling,
        "max_position_embeddings": source.run.data.seq_length,
        "vocab_size": source.vocab_size,
        **generation_settings(tokenizer),
        "initializer_range": model.init_method_std,
        "torch_dtype": _TYPES[dtype],
    }


def generation_settings(tokenizer: Tokenizer) -> dict[str, Any]:
    """generation_config.json."""
    return {f"{role}_token_id": number for role, number in control_tokens(tokenizer).items()}


def training_record(source: Source, dtype: str, weights: Weights) -> dict[str, Any]:
    """training.json: where the weights come from. No path of a machine is in it."""
    run, record = source.run, source.record
    return {
        "format": FORMAT,
        "geo_nemo": __version__,
        "run": run.name,
        "step": source.step,
        "checkpoint": identity_of(record),
        "weights": weights,
        "dtype": _TYPES[dtype],
        "sequence_length": run.data.seq_length,
        "stages": {name: stage.model_dump(mode="json") for name, stage in run.stages.items()},
        "fingerprint": record["fingerprint"],
        "ledger": record["ledger"],
    }
