"""The tensors of a model in Hugging Face's format, and the parameters of GPTModel they make.

The numbers of a layer are the same in another arrangement: queries, keys and values of a group of
heads stand one after another in one matrix of GPTModel, and the gate over up in another.

Sources: transformers' modeling_llama.py, modeling_qwen2.py and modeling_qwen3.py; Megatron-Core's
gpt_layer_specs.py and attention.py.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from geo_nemo.config import Model

EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
QKV = "decoder.layers.self_attention.linear_qkv.weight"
QKV_BIAS = "decoder.layers.self_attention.linear_qkv.bias"
Q_NORM = "decoder.layers.self_attention.q_layernorm.weight"
K_NORM = "decoder.layers.self_attention.k_layernorm.weight"
# Names as a checkpoint has them, where a norm goes with the matrix behind it as in Transformer
# Engine; those of a layer without its number.
OUTSIDE = {
    "embedding.word_embeddings.weight": ("model.embed_tokens",),
    "decoder.final_layernorm.weight": ("model.norm",),
    "output_layer.weight": ("lm_head",),
}
OF_A_LAYER = {
    "decoder.layers.self_attention.linear_qkv.layer_norm_weight": ("input_layernorm",),
    QKV: ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    QKV_BIAS: ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    Q_NORM: ("self_attn.q_norm",),
    K_NORM: ("self_attn.k_norm",),
    "decoder.layers.self_attention.linear_proj.weight": ("self_attn.o_proj",),
    "decoder.layers.mlp.linear_fc1.layer_norm_weight": ("post_attention_layernorm",),
    "decoder.layers.mlp.linear_fc1.weight": ("mlp.gate_proj", "mlp.up_proj"),
    "decoder.layers.mlp.linear_fc2.weight": ("mlp.down_proj",),
}
# Those that not every model has, by the setting that gives it them.
_WHERE = {QKV_BIAS: "add_qkv_bias", Q_NORM: "qk_layernorm", K_NORM: "qk_layernorm"}
# Our settings by config.json's names.
SETTINGS = {
    "num_hidden_layers": "num_layers",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "num_query_groups",
    "intermediate_size": "ffn_hidden_size",
    "rms_norm_eps": "norm_epsilon",
    "tie_word_embeddings": "share_embeddings_and_output_weights",
}
# Of scaled rotary positions: all but the factor is fixed in Megatron-Core too.
LLAMA_3 = {
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
# torch.Tensor or np.ndarray.
Array = TypeVar("Array")


class Parameter(NamedTuple):
    """name: as a checkpoint has it, without the layer's number. layer: None outside the layers."""

    name: str
    layer: int | None


def parameters(model: Model) -> list[Parameter]:
    """All of a model, in the order of the computation."""
    embedding, final_norm, output = OUTSIDE
    layers = [
        Parameter(name, layer)
        for layer in range(model.num_layers)
        for name in OF_A_LAYER
        if getattr(model, _WHERE.get(name, ""), True)
    ]
    ends = [final_norm] if model.share_embeddings_and_output_weights else [final_norm, output]
    return [Parameter(embedding, None), *layers, *(Parameter(name, None) for name in ends)]


def tensor_names(name: str, layer: int | None) -> tuple[str, ...]:
    """Names of the tensors that make a parameter; layer: None outside the layers."""
    if layer is None:
        return tuple(f"{theirs}.weight" for theirs in OUTSIDE[name])
    kind = "bias" if name.endswith(".bias") else "weight"
    return tuple(f"model.layers.{layer}.{theirs}.{kind}" for theirs in OF_A_LAYER[name])


def tensor_shapes(model: Model, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a model, by its name."""
    hidden, ffn = model.hidden_size, model.ffn_hidden_size
    sizes = {"q": model.query_size, "k": model.key_size, "v": model.key_size}
    of_a_layer = {
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
        **{f"self_attn.{name}_proj.weight": (size, hidden) for name, size in sizes.items()},
        "self_attn.o_proj.weight": (hidden, model.query_size),
        "mlp.gate_proj.weight": (ffn, hidden),
        "mlp.up_proj.weight": (ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }
    if model.add_qkv_bias:
        of_a_layer |= {f"self_attn.{name}_proj.bias": (size,) for name, size in sizes.items()}
    if model.qk_layernorm:
        of_a_layer |= {f"self_attn.{name}_norm.weight": (model.head_size,) for name in "qk"}
    shapes = {EMBEDDING: (vocab_size, hidden), "model.norm.weight": (hidden,)}
    if not model.share_embeddings_and_output_weights:
        shapes[OUTPUT] = (vocab_size, hidden)
    for layer in range(model.num_layers):
        for name, shape in of_a_layer.items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    return shapes


def parameter_shape(model: Model, name: str, vocab_size: int) -> tuple[int, ...]:
    """Shape of a parameter of GPTModel; of one layer, where it has a number."""
    layer = 0 if name in OF_A_LAYER else None
    shapes = tensor_shapes(model.model_copy(update={"num_layers": 1}), vocab_size)
    parts = [shapes[each] for each in tensor_names(name, layer)]
    return (sum(part[0] for part in parts), *parts[0][1:])


def join(model: Model, name: str, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The parameter that tensors, in the order of their names, make."""
    if name not in (QKV, QKV_BIAS):
        return np.concatenate(parts) if len(parts) > 1 else parts[0]
    heads = (model.num_query_groups, -1, model.head_size)
    by_group = [part.reshape(*heads, *part.shape[1:]) for part in parts]
    return np.concatenate(by_group, axis=1).reshape(-1, *parts[0].shape[1:])


def split(model: Model, name: str, whole: Array) -> list[Array]:
    """The tensors, in the order of their names, that a parameter is made of; views of it."""
    if name not in (QKV, QKV_BIAS):
        count = len({**OUTSIDE, **OF_A_LAYER}[name])
        length = len(whole) // count
        return [whole[at * length : (at + 1) * length] for at in range(count)]
    row = whole.shape[1:]
    by_group = whole.reshape(model.num_query_groups, -1, model.head_size, *row)
    parts = by_group[:, :-2], by_group[:, -2:-1], by_group[:, -1:]
    return [part.reshape(-1, *row) for part in parts]
