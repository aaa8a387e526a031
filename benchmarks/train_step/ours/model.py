"""Our model of a benchmark's shape, with its first weights, and its batches."""

import numpy as np
import torch

from benchmarks.train_step.llama import HEAD_SIZE, VOCAB_SIZE, Shape, run_of, tokens, weights
from geo_nemo.data.batches import Batch, stack_sequences
from geo_nemo.data.sequences import PackedSequence

CPU = torch.device("cpu")


def make_engine(shape: Shape):
    """The Engine that a run of this shape trains with; process groups must be there."""
    from geo_nemo.train.engine import Engine

    engine = Engine(run_of(shape), VOCAB_SIZE, 1, CPU)
    given = ours(shape, dict(weights(shape)))
    with torch.no_grad():
        for name, weight in engine.module.named_parameters():
            weight.copy_(torch.from_numpy(given.pop(name)))
    assert not given
    return engine


def ours(shape: Shape, theirs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights with Hugging Face's names under Megatron-Core's, where some stand together."""
    found = {
        "embedding.word_embeddings.weight": theirs["model.embed_tokens.weight"],
        "decoder.final_layernorm.weight": theirs["model.norm.weight"],
        "output_layer.weight": theirs["lm_head.weight"],
    }
    for layer in range(shape.layers):
        here, there = f"decoder.layers.{layer}", f"model.layers.{layer}"
        heads = [
            theirs[f"{there}.self_attn.{each}_proj.weight"].reshape(
                shape.groups, -1, HEAD_SIZE, shape.hidden
            )
            for each in "qkv"
        ]
        qkv = np.concatenate(heads, axis=1).reshape(-1, shape.hidden)
        gate, up = (theirs[f"{there}.mlp.{each}_proj.weight"] for each in ("gate", "up"))
        found |= {
            f"{here}.input_layernorm.weight": theirs[f"{there}.input_layernorm.weight"],
            f"{here}.self_attention.linear_qkv.weight": qkv,
            f"{here}.self_attention.linear_proj.weight": theirs[f"{there}.self_attn.o_proj.weight"],
            f"{here}.pre_mlp_layernorm.weight": theirs[f"{there}.post_attention_layernorm.weight"],
            f"{here}.mlp.linear_fc1.weight": np.concatenate([gate, up]),
            f"{here}.mlp.linear_fc2.weight": theirs[f"{there}.mlp.down_proj.weight"],
        }
    return found


def batch(shape: Shape, step: int) -> Batch:
    """The tokens of a step as a packed sequence of one document, all of it trained."""
    length, drawn = shape.seq_length, tokens(shape, step)
    sequence = PackedSequence(
        tokens=drawn[:-1], labels=drawn[1:], position_ids=np.arange(length),
        loss_mask=np.ones(length, np.float32), group_ids=np.zeros(length, np.int64),
        label_kinds=np.zeros(length, np.uint8),
        cu_seqlens=np.array([0, length], np.int32), max_seqlen=length,
    )  # fmt: skip
    return stack_sequences([sequence], [0])
