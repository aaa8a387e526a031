"""Hugging Face's LlamaForCausalLM with torch's fused AdamW: SHAPE, and a step for each line.

The step is the one that we take: forward, backward, gradients clipped by their norm, AdamW without
decay of norms' weights.
"""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.train_step.llama import VOCAB_SIZE, Shape, run_of, tokens, weights
from benchmarks.train_step.stepping import answer


def main() -> None:
    shape = Shape.from_json(sys.argv[1])
    run = run_of(shape)
    train = run.train
    model = make_model(shape, run.model.norm_epsilon, run.model.rotary_base)
    matrices = [w for w in model.parameters() if w.dim() > 1]
    norms = [w for w in model.parameters() if w.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices}, {"params": norms, "weight_decay": 0.0}],
        lr=train.lr, betas=(train.adam_beta1, train.adam_beta2), eps=train.adam_eps,
        weight_decay=train.weight_decay, fused=True,
    )  # fmt: skip

    def step(number: int) -> float:
        drawn = torch.from_numpy(tokens(shape, number))
        labels = drawn[None, 1:]
        # The labels are one further on already: without the second argument it would shift them.
        loss = model(input_ids=drawn[None, :-1], labels=labels, shift_labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip_grad)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    answer(step)


def make_model(shape: Shape, norm_epsilon: float, rotary_base: int) -> LlamaForCausalLM:
    """The model with the first weights of the shape, on the faster of its attentions: SDPA."""
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE, hidden_size=shape.hidden, intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups, max_position_embeddings=shape.seq_length,
        rms_norm_eps=norm_epsilon, use_cache=False, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": float(rotary_base)},
        attn_implementation="sdpa",
    )  # fmt: skip
    model = LlamaForCausalLM(config).train()
    model.load_state_dict({name: torch.from_numpy(w) for name, w in weights(shape)})
    return model


if __name__ == "__main__":
    main()
