"""Hugging Face's LlamaForCausalLM with SDPA, torch.compile and fused AdamW. CASE as JSON."""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.gpu.cases import Case
from benchmarks.gpu.plain import found
from benchmarks.gpu.timing import say


class Loss(torch.nn.Module):
    """The loss of rows [b, s + 1], each one document."""

    def __init__(self, llama: LlamaForCausalLM):
        super().__init__()
        self.llama = llama

    def forward(self, drawn: torch.Tensor) -> torch.Tensor:
        labels = drawn[:, 1:].contiguous()  # its loss views them flat
        return self.llama(input_ids=drawn[:, :-1], labels=labels, shift_labels=labels).loss


def make(case: Case) -> Loss:
    model = case.run().model
    config = LlamaConfig(
        vocab_size=case.vocab_size, hidden_size=model.hidden_size,
        intermediate_size=model.ffn_hidden_size, num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_attention_heads, num_key_value_heads=model.num_query_groups,
        max_position_embeddings=case.length, rms_norm_eps=model.norm_epsilon, use_cache=False,
        initializer_range=model.init_method_std, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": float(model.rotary_base)},
        attn_implementation="sdpa",
    )  # fmt: skip
    return Loss(LlamaForCausalLM(config))


def main() -> None:
    case = Case.from_json(sys.argv[1])
    torch.manual_seed(0)
    say(found(case, make(case)))


if __name__ == "__main__":
    main()
