"""A small Llama folder in Hugging Face's format, written byte by byte for tests."""

import json
from pathlib import Path

import numpy as np


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """fp32 tensors as they are; uint16 ones as bf16."""
    header, data = {}, b""
    for name, values in tensors.items():
        content = np.ascontiguousarray(values).tobytes()
        kind = {"float32": "F32", "uint16": "BF16"}[values.dtype.name]
        header[name] = {
            "dtype": kind,
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def random_weights(model, vocab_size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights by Hugging Face's names for `model` (geo_nemo.config.Model)."""
    generator = np.random.default_rng(seed)
    hidden, ffn = model.hidden_size, model.ffn_hidden_size
    size = hidden // model.num_attention_heads
    kv = size * model.num_query_groups

    def matrix(*shape):
        return generator.normal(0, 0.15, shape).astype(np.float32)

    def norm():
        return generator.uniform(0.5, 1.5, hidden).astype(np.float32)

    weights = {
        "model.embed_tokens.weight": matrix(vocab_size, hidden),
        "model.norm.weight": norm(),
        "lm_head.weight": matrix(vocab_size, hidden),
    }
    for layer in range(model.num_layers):
        shapes = {
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (kv, hidden),
            "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (ffn, hidden),
            "mlp.up_proj": (ffn, hidden),
            "mlp.down_proj": (hidden, ffn),
        }
        prefix = f"model.layers.{layer}."
        weights |= {f"{prefix}{name}.weight": matrix(*shape) for name, shape in shapes.items()}
        weights |= {
            f"{prefix}{name}.weight": norm()
            for name in ("input_layernorm", "post_attention_layernorm")
        }
    return weights


def settings(model, vocab_size: int) -> dict:
    """config.json of such a model."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "vocab_size": vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.ffn_hidden_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_attention_heads,
        "num_key_value_heads": model.num_query_groups,
        "rms_norm_eps": model.norm_epsilon,
        "rope_theta": model.rotary_base,
        "tie_word_embeddings": model.share_embeddings_and_output_weights,
    }


def llama_3(factor: float) -> dict:
    """Scaled rotary positions, as config.json of Llama 3.1 and later has them."""
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


def write_folder(folder: Path, model, weights, vocab_size: int, tokenizer: Path, **changes) -> Path:
    """The folder in two files; `changes` of config.json's settings."""
    folder.mkdir(parents=True)
    names, places = sorted(weights), {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        path = folder / f"model-{number:05d}-of-00002.safetensors"
        write_safetensors(path, {name: weights[name] for name in part})
        places |= dict.fromkeys(part, path.name)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({**settings(model, vocab_size), **changes}))
    (folder / "tokenizer.model").write_bytes(tokenizer.read_bytes())
    return folder
