"""A Llama decoder in plain PyTorch, written apart from the model under test.

Takes the weights of Megatron-Core's GPTModel by name and computes the loss of one document alone,
in the precision of the weights it is given. Nothing here is packed, fused or parallel.
"""

import math
from itertools import pairwise

import torch


def document_nll(weights, model, tokens, labels):
    """-log p(label) of each position of one document, [n], in nats; see document_nll_and_log_z."""
    return document_nll_and_log_z(weights, model, tokens, labels)[0]


def document_nll_and_log_z(weights, model, tokens, labels):
    """-log p(label) and log of the sum of exp(logit) of each position of one document, [n] each.

    labels: int64 [n]; the others as for document_logits.
    """
    logits = document_logits(weights, model, tokens)
    log_z = torch.logsumexp(logits, dim=-1)
    return log_z - logits.gather(-1, labels[:, None])[:, 0], log_z


def document_logits(weights, model, tokens):
    """Logits of each position of one document, [n, vocabulary].

    weights: name -> tensor, names of GPTModel. model: geo_nemo.config.Model. tokens: int64 [n].
    """
    x = weights["embedding.word_embeddings.weight"][tokens]
    for layer in range(model.num_layers):
        prefix = f"decoder.layers.{layer}."
        normed = rms_norm(x, weights[prefix + "input_layernorm.weight"], model.norm_epsilon)
        x = x + attention(
            normed,
            weights[prefix + "self_attention.linear_qkv.weight"],
            weights[prefix + "self_attention.linear_proj.weight"],
            model,
        )
        normed = rms_norm(x, weights[prefix + "pre_mlp_layernorm.weight"], model.norm_epsilon)
        gate, up = (normed @ weights[prefix + "mlp.linear_fc1.weight"].T).chunk(2, dim=-1)
        x = x + (gate * torch.sigmoid(gate) * up) @ weights[prefix + "mlp.linear_fc2.weight"].T
    x = rms_norm(x, weights["decoder.final_layernorm.weight"], model.norm_epsilon)
    return x @ weights["output_layer.weight"].T


def rms_norm(x, weight, epsilon):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon) * weight


def attention(x, qkv_weight, out_weight, model):
    n = len(x)
    size = model.hidden_size // model.num_attention_heads
    queries_per_group = model.num_attention_heads // model.num_query_groups
    qkv = (x @ qkv_weight.T).view(n, model.num_query_groups, queries_per_group + 2, size)
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    heads = []
    for group in range(model.num_query_groups):
        k = rotate(qkv[:, group, -2], model.rotary_base)
        v = qkv[:, group, -1]
        for head in range(queries_per_group):
            q = rotate(qkv[:, group, head], model.rotary_base)
            scores = (q @ k.T / math.sqrt(size)).masked_fill(~causal, -torch.inf)
            heads.append(torch.softmax(scores, dim=-1) @ v)
    return torch.cat(heads, dim=-1) @ out_weight.T


def rotate(x, base):
    """Rotary positions 0, 1, ... over the rows of x, [n, d]; halves are rotated together."""
    n, d = x.shape
    frequencies = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angles = torch.outer(torch.arange(n, dtype=torch.float64), frequencies)
    cos = torch.cat([angles.cos()] * 2, dim=-1).to(x.dtype)
    sin = torch.cat([angles.sin()] * 2, dim=-1).to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def batch_loss_and_gradients(weights, model, micro_batches, z_loss=0.0):
    """The exact loss of a global batch and its gradients: sum(w * nll) / sum(w), w the loss_mask.

    micro_batches: objects with tokens, labels, loss_mask [b, s] and cu_seqlens over b * s.
    z_loss: with it, z_loss * log_z^2 of the trained labels, by weight, is in the gradients, not in
    the loss.
    Returns (loss, name -> gradient, nll of every position in order).
    """
    weights = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    total, squares, count, positions = 0.0, 0.0, 0.0, []
    for batch in micro_batches:
        tokens, labels, mask = (
            torch.as_tensor(getattr(batch, name)).flatten()
            for name in ("tokens", "labels", "loss_mask")
        )
        borders = list(batch.cu_seqlens)
        for start, end in pairwise(borders):
            here = (tokens[start:end], labels[start:end])
            nll, log_z = document_nll_and_log_z(weights, model, *here)
            positions.append(nll.detach())
            weight = mask[start:end].double()
            total = total + (weight * nll).sum()
            squares = squares + (weight * log_z**2).sum()
            count += float(weight.sum())
    loss = total / count
    (loss + z_loss * squares / count).backward()
    return loss.item(), {n: w.grad for n, w in weights.items()}, torch.cat(positions)
