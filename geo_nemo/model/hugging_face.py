"""A Llama model in Hugging Face's format, by the names and shapes of Megatron-Core's GPTModel.

Checks of config.json, names and shapes come before a weight is read, and need no torch.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.config import Model, UserError
from geo_nemo.model.hugging_face_names import (
    EMBEDDING,
    LLAMA_3,
    OUTPUT,
    SETTINGS,
    join,
    tensor_names,
    tensor_shapes,
)
from geo_nemo.model.safetensors import folder_entries, identity
from geo_nemo.model.shape import padded_vocab_size

# What the format takes where config.json does not tell.
_DEFAULTS = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False}
# What a model of ours does not have, and the values under which a Llama does not have it either.
_WITHOUT = {
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "hidden_act": (None, "silu"),
}
# Tables that older versions stored beside the weights.
_NO_WEIGHT = "rotary_emb.inv_freq"
_TOKENIZERS = ("tokenizer.model", "original/tokenizer.model", "tokenizer.json")


def is_hugging_face(folder: Path) -> bool:
    """Whether a folder has the files of one."""
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


class HuggingFaceLlama:
    """The weights of a folder, checked against a model's shape.

    identity: of its weights. tokenizers: files of a tokenizer that it has.

    Raises `UserError` for another architecture or shape, and for tensors that are missing, too many
    or of another shape.
    """

    def __init__(self, folder: Path, model: Model, vocab_size: int):
        self.folder = folder
        self.model = model
        self.entries = {
            name: entry
            for name, entry in folder_entries(folder).items()
            if not name.endswith(_NO_WEIGHT)
        }
        _check_settings(folder, model)
        self.vocab_size = self._check_tensors(vocab_size)
        self.identity = identity(self.entries)
        self.tokenizers = [path for name in _TOKENIZERS if (path := folder / name).is_file()]

    def _check_tensors(self, vocab_size: int) -> int:
        """Rows of its embedding, once every tensor has been found as it must be."""
        model, entries = self.model, self.entries
        if model.share_embeddings_and_output_weights:
            # Some writers store the tied matrix under both names.
            entries.pop(OUTPUT, None)
        there = entries[EMBEDDING].shape[0] if EMBEDDING in entries else 0
        expected = tensor_shapes(model, there)
        problems = []
        if missing := sorted(expected.keys() - entries.keys()):
            problems.append(f"{missing[0]}{_more(missing)} is missing")
        if extra := sorted(entries.keys() - expected.keys()):
            problems.append(f"{extra[0]}{_more(extra)} has no place in the model")
        common = expected.keys() & entries.keys()
        if other := sorted(name for name in common if entries[name].shape != expected[name]):
            name = other[0]
            problems.append(
                f"{name}{_more(other)} has the shape {list(entries[name].shape)}, not "
                f"{list(expected[name])}"
            )
        padded = padded_vocab_size(model, vocab_size)
        if not problems and not vocab_size <= there <= padded:
            problems.append(
                f"its vocabulary has {there:,} tokens, and the store's tokenizer {vocab_size:,}"
            )
        if problems:
            raise UserError(f"init.checkpoint={self.folder}: {'; '.join(problems)}")
        return there

    def whole(self, name: str, layer: int | None) -> np.ndarray:
        """A parameter of GPTModel as a checkpoint has it whole, fp32.

        name: without the layer's number, such as `decoder.layers.mlp.linear_fc1.weight`. layer:
        None outside the layers. Rows of the vocabulary that the folder lacks are not in it.
        """
        parts = [self.entries[each].whole() for each in tensor_names(name, layer)]
        return join(self.model, name, parts)


def _check_settings(folder: Path, model: Model) -> None:
    """Raise `UserError` that names the settings of ours which config.json contradicts."""
    path = folder / "config.json"
    try:
        told = dict(json.loads(path.read_text()))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise UserError(f"{path} is not JSON with a model's settings") from None
    if told.get("model_type") != "llama":
        raise UserError(f"{path}: model_type is {told.get('model_type')!r}; only llama is read")
    for key, allowed in _WITHOUT.items():
        if told.get(key) not in allowed:
            raise UserError(f"{path}: {key}={told[key]!r}, which this model does not have")
    rotary = told.get("rope_parameters") or told.get("rope_scaling") or {}
    told.setdefault("num_key_value_heads", told.get("num_attention_heads"))
    theta = told.get("rope_theta", rotary.get("rope_theta", 10_000))
    pairs = [("rotary_base", theta), ("rotary_scaling", _rotary_scaling(path, rotary))]
    pairs += [(ours, told.get(key, _DEFAULTS.get(key))) for key, ours in SETTINGS.items()]
    if wrong := [f"model.{ours}={value}" for ours, value in pairs if getattr(model, ours) != value]:
        raise UserError(f"{path} is of another shape than the run: it has {' '.join(wrong)}")
    size = told.get("head_dim")
    if size not in (None, model.hidden_size // model.num_attention_heads):
        raise UserError(f"{path}: head_dim is {size}, not hidden_size / num_attention_heads")


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


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
