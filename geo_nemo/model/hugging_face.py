"""A Llama model in Hugging Face's format, by the names and shapes of Megatron-Core's GPTModel.

Checks of config.json, names and shapes come before a weight is read, and need no torch. The weight
matrices of a layer are the same numbers in another arrangement: queries, keys and values of a group
of heads one after another in one matrix, gate over up in another.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.config import Model, UserError
from geo_nemo.model.safetensors import folder_entries, identity
from geo_nemo.model.shape import padded_vocab_size

# Our settings by config.json's names, with what the format takes where they are absent.
_SETTINGS: dict[str, tuple[str, Any]] = {
    "num_hidden_layers": ("num_layers", None),
    "hidden_size": ("hidden_size", None),
    "num_attention_heads": ("num_attention_heads", None),
    "num_key_value_heads": ("num_query_groups", None),
    "intermediate_size": ("ffn_hidden_size", None),
    "rms_norm_eps": ("norm_epsilon", 1e-6),
    "tie_word_embeddings": ("share_embeddings_and_output_weights", False),
}
# What a model of ours does not have, and the values under which a Llama does not have it either.
_WITHOUT = {
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "hidden_act": (None, "silu"),
}
# Of scaled rotary positions: all but the factor is fixed in Megatron-Core too.
_LLAMA_3 = {
    "low_freq_factor": 1,
    "high_freq_factor": 4,
    "original_max_position_embeddings": 8192,
}
_EMBEDDING, _OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
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
            entries.pop(_OUTPUT, None)
        there = entries[_EMBEDDING].shape[0] if _EMBEDDING in entries else 0
        expected = _shapes(model, there)
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
        return _PARAMETERS[name](self, f"model.layers.{layer}")

    def _one(self, name: str) -> np.ndarray:
        return self.entries[f"{name}.weight"].whole()

    def _qkv(self, layer: str) -> np.ndarray:
        model = self.model
        size = model.hidden_size // model.num_attention_heads
        queries, keys, values = (
            self._one(f"{layer}.self_attn.{name}_proj").reshape(
                model.num_query_groups, -1, size, model.hidden_size
            )
            for name in "qkv"
        )
        grouped = np.concatenate([queries, keys, values], axis=1)
        return grouped.reshape(-1, model.hidden_size)

    def _gate_up(self, layer: str) -> np.ndarray:
        return np.concatenate([self._one(f"{layer}.mlp.{name}_proj") for name in ("gate", "up")])


_PARAMETERS: dict[str, Callable[[HuggingFaceLlama, str], np.ndarray]] = {
    "embedding.word_embeddings.weight": lambda folder, _: folder._one("model.embed_tokens"),
    "decoder.final_layernorm.weight": lambda folder, _: folder._one("model.norm"),
    "output_layer.weight": lambda folder, _: folder._one("lm_head"),
    # In a checkpoint a norm goes with the matrix behind it, as in Transformer Engine.
    "decoder.layers.self_attention.linear_qkv.layer_norm_weight": lambda folder, layer: folder._one(
        f"{layer}.input_layernorm"
    ),
    "decoder.layers.mlp.linear_fc1.layer_norm_weight": lambda folder, layer: folder._one(
        f"{layer}.post_attention_layernorm"
    ),
    "decoder.layers.self_attention.linear_qkv.weight": HuggingFaceLlama._qkv,
    "decoder.layers.self_attention.linear_proj.weight": lambda folder, layer: folder._one(
        f"{layer}.self_attn.o_proj"
    ),
    "decoder.layers.mlp.linear_fc1.weight": HuggingFaceLlama._gate_up,
    "decoder.layers.mlp.linear_fc2.weight": lambda folder, layer: folder._one(
        f"{layer}.mlp.down_proj"
    ),
}


def _shapes(model: Model, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that the folder must have."""
    hidden, ffn = model.hidden_size, model.ffn_hidden_size
    kv = hidden // model.num_attention_heads * model.num_query_groups
    of_a_layer = {
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (ffn, hidden),
        "mlp.up_proj": (ffn, hidden),
        "mlp.down_proj": (hidden, ffn),
    }
    shapes = {_EMBEDDING: (vocab_size, hidden), "model.norm.weight": (hidden,)}
    if not model.share_embeddings_and_output_weights:
        shapes[_OUTPUT] = (vocab_size, hidden)
    for layer in range(model.num_layers):
        for name, shape in of_a_layer.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    return shapes


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
    pairs += [(ours, told.get(key, default)) for key, (ours, default) in _SETTINGS.items()]
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
    if kind != "llama3" or any(told.get(key) != value for key, value in _LLAMA_3.items()):
        expected = " ".join(f"{key}={value}" for key, value in _LLAMA_3.items())
        raise UserError(
            f"{path}: rotary positions are scaled ({kind}) otherwise than Llama 3.1's, which have "
            f"{expected}: this model does not have that"
        )
    return told.get("factor")


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
