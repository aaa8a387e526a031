"""torchtitan's Llama in the shape of a Hugging Face folder."""

import json
from pathlib import Path

import torchtitan.models.llama3 as titan


def shape_of(folder: Path, seq_length: int) -> titan.Llama3Model.Config:
    """The config of its model, whose attention stays inside documents."""
    shape = json.loads((folder / "config.json").read_text())
    width, words = shape["hidden_size"], shape["vocab_size"]
    rope = titan.ComplexRoPE.Config(
        dim=width // shape["num_attention_heads"],
        max_seq_len=seq_length,
        theta=shape["rope_theta"],
        scaling="none",
    )
    config = titan.Llama3Model.Config(
        dim=width, vocab_size=words,
        tok_embeddings=titan.Embedding.Config(
            num_embeddings=words, embedding_dim=width, param_init=titan._EMBEDDING_INIT
        ),
        norm=titan.RMSNorm.Config(normalized_shape=width, param_init=titan._NORM_INIT),
        lm_head=titan.Linear.Config(
            in_features=width, out_features=words, param_init=titan._output_linear_init(width)
        ),
        layers=titan._build_llama3_layers(
            fuse_qkv=False, n_layers=shape["num_hidden_layers"], dim=width,
            n_heads=shape["num_attention_heads"], n_kv_heads=shape["num_key_value_heads"],
            hidden_dim=shape["intermediate_size"], rope=rope, attn_backend="flex",
        ),
    )  # fmt: skip
    for layer in config.layers:
        layer.attention_norm.eps = layer.ffn_norm.eps = config.norm.eps = shape["rms_norm_eps"]
    return config
