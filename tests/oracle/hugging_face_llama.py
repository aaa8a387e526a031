"""A Llama decoder over Hugging Face's names, in plain PyTorch, for one document.

Written from the published description of the format: separate projections, key-value heads repeated
for the queries that share them, halves of a head rotated together. Shares nothing with the mapping
under test.
"""

import math

import torch


def logits(weights, config, tokens):
    """[n, vocab] of tokens int64 [n], in the weights' precision; config: config.json's settings."""
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size, n = config["hidden_size"] // heads, len(tokens)
    x = weights["model.embed_tokens.weight"][tokens]
    inverse = config["rope_theta"] ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    if "rope_scaling" in config:
        inverse = scaled(inverse, config["rope_scaling"])
    angles = torch.arange(n, dtype=torch.float64)[:, None] * inverse
    cos, sin = (f(torch.cat([angles, angles], -1)).to(x.dtype) for f in (torch.cos, torch.sin))
    hidden = torch.full((n, n), -math.inf, dtype=x.dtype).triu(1)

    def normed(x, name):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"])
        return x * scale * weights[name]

    def rotated(x):
        turned = torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1)
        return x * cos + turned * sin

    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."

        def project(x, name, prefix=prefix):
            return x @ weights[f"{prefix}{name}.weight"].T

        h = normed(x, f"{prefix}input_layernorm.weight")
        q, k, v = (
            project(h, f"self_attn.{name}_proj").view(n, count, size).transpose(0, 1)
            for name, count in (("q", heads), ("k", groups), ("v", groups))
        )
        k, v = (each.repeat_interleave(heads // groups, dim=0) for each in (rotated(k), v))
        scores = rotated(q) @ k.transpose(1, 2) / math.sqrt(size) + hidden
        mixed = (torch.softmax(scores, -1) @ v).transpose(0, 1).reshape(n, -1)
        x = x + project(mixed, "self_attn.o_proj")
        h = normed(x, f"{prefix}post_attention_layernorm.weight")
        gate = torch.nn.functional.silu(project(h, "mlp.gate_proj"))
        x = x + project(gate * project(h, "mlp.up_proj"), "mlp.down_proj")
    return normed(x, "model.norm.weight") @ weights["lm_head.weight"].T


def scaled(inverse, settings):
    """Rotations of Llama 3.1 a position, one by one, from its description.

    Those that go round more than `high_freq_factor` times in the first context stay; those that do
    less than `low_freq_factor` times are slowed by `factor`; between, the two are mixed evenly.
    """
    found = []
    low, high = settings["low_freq_factor"], settings["high_freq_factor"]
    for speed in inverse.tolist():
        turns = settings["original_max_position_embeddings"] * speed / (2 * math.pi)
        fraction = min(max((turns - low) / (high - low), 0.0), 1.0)
        found.append(fraction * speed + (1 - fraction) * speed / settings["factor"])
    return torch.tensor(found, dtype=inverse.dtype)
