"""The shape that a Hugging Face folder's config.json tells of, under our settings' names.

Llama, and three that differ from it by little: Mistral (a head size of its own), Qwen 2.5 (biases
of queries, keys and values) and Qwen 3 (norms of queries and keys). What none of ours can have is
an error: a window of attention that slides, other biases, other rotary positions.
"""

from pathlib import Path
from typing import Any

from geo_nemo.common.parse import parse_json
from geo_nemo.config import Model, UserError
from geo_nemo.model.hugging_face_names import LLAMA_3, SETTINGS

# What the formats take where config.json does not tell.
_DEFAULTS = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False}
# What each has that config.json does not tell.
_HAS = {
    "llama": {},
    "mistral": {},
    "qwen2": {"add_qkv_bias": True},
    "qwen3": {"qk_layernorm": True},
}
# What a model of ours does not have, and the values under which theirs does not have it either.
_WITHOUT = {
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "hidden_act": (None, "silu"),
    "use_sliding_window": (None, False),
    "partial_rotary_factor": (None, 1),
}
_FULL = "full_attention"


def read_shape(folder: Path) -> dict[str, Any]:
    """Settings of `Model` for the model in `folder`, but for those that its weights do not decide.

    Raises `UserError` where it is a model that ours cannot be.
    """
    path = folder / "config.json"
    try:
        told = dict(parse_json(path.read_text("utf-8")))
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; give a folder in Hugging Face's format"
        ) from None
    except (ValueError, TypeError):
        raise UserError(f"{path} is not JSON with a model's settings") from None
    kind = told.get("model_type")
    if kind not in _HAS:
        raise UserError(
            f"{path}: model_type is {kind!r}; {', '.join(list(_HAS)[:-1])} and {list(_HAS)[-1]} "
            "are read"
        )
    rotary = told.get("rope_parameters") or told.get("rope_scaling") or {}
    _check_without(path, {**told, **{k: v for k, v in rotary.items() if k in _WITHOUT}})
    _check_window(path, kind, told)
    told = {**_DEFAULTS, **told}
    told["num_key_value_heads"] = told.get("num_key_value_heads") or told.get("num_attention_heads")
    if lacking := [key for key in SETTINGS if told.get(key) is None]:
        raise UserError(f"{path} does not tell {', '.join(lacking)}")
    theta = told.get("rope_theta") or rotary.get("rope_theta") or 10_000
    shape = {ours: told[key] for key, ours in SETTINGS.items()}
    shape |= {"add_qkv_bias": False, "qk_layernorm": False, **_HAS[kind]}
    shape |= {"rotary_base": theta, "rotary_scaling": _rotary_scaling(path, rotary)}
    size = told.get("head_dim") or (128 if kind == "qwen3" else None)
    usual = size is not None and size * shape["num_attention_heads"] == shape["hidden_size"]
    return {**shape, "kv_channels": None if usual else size}


def check_shape(folder: Path, model: Model) -> None:
    """Raise `UserError` that names the settings of `model` which config.json contradicts."""
    wrong = [
        f"model.{name}={'null' if value is None else value}"
        for name, value in read_shape(folder).items()
        if getattr(model, name) != value
    ]
    if wrong:
        raise UserError(
            f"{folder / 'config.json'} is of another shape than the run: it has {' '.join(wrong)}"
        )


def architecture(model: Model) -> str:
    """What transformers calls a model of this shape: its class begins with it."""
    if model.qk_layernorm:
        return "Qwen3"
    return "Qwen2" if model.add_qkv_bias else "Llama"


def _check_without(path: Path, told: dict[str, Any]) -> None:
    for key, allowed in _WITHOUT.items():
        if told.get(key) not in allowed:
            raise UserError(f"{path}: {key}={told[key]!r}, which this model does not have")


def _check_window(path: Path, kind: str, told: dict[str, Any]) -> None:
    """Raise `UserError` where attention sees a window alone; Qwen's has none unless it is used."""
    window = told.get("sliding_window") if kind == "mistral" else None
    if window is None and set(told.get("layer_types") or [_FULL]) != {_FULL}:
        window = "in layer_types"
    if window is not None:
        raise UserError(
            f"{path}: sliding_window={window}, and attention here has no window: where sequences "
            "are no longer than it, write null (and full_attention in layer_types) in its place"
        )


def _rotary_scaling(path: Path, told: dict[str, Any]) -> float | None:
    """The factor of Llama 3.1's scaled rotary positions; `UserError` for any other scaling."""
    kind = told.get("rope_type", told.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3" or any(told.get(key) != value for key, value in LLAMA_3.items()):
        expected = " ".join(f"{key}={value}" for key, value in LLAMA_3.items())
        raise UserError(
            f"{path}: rotary positions are scaled ({kind}) otherwise than Llama 3.1's, which have "
            f"{expected}: this model does not have that"
        )
    return told.get("factor")
