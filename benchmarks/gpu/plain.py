"""A Llama in plain PyTorch: SDPA, torch.compile, fused AdamW, autocast. CASE as JSON; its times."""

import sys

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.gpu.cases import Case, tokens
from benchmarks.gpu.timing import Clock, device_of, measure, say
from geo_nemo.config import Model


class Layer(nn.Module):
    def __init__(self, model: Model):
        super().__init__()
        hidden, self.heads = model.hidden_size, model.num_attention_heads
        self.size, self.groups = hidden // self.heads, model.num_query_groups
        self.norms = nn.ModuleList(nn.RMSNorm(hidden, model.norm_epsilon) for _ in range(2))
        self.qkv = nn.Linear(hidden, hidden + 2 * self.groups * self.size, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.gate_up = nn.Linear(hidden, 2 * model.ffn_hidden_size, bias=False)
        self.down = nn.Linear(model.ffn_hidden_size, hidden, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        rows, length, hidden = x.shape
        sizes = [self.heads, self.groups, self.groups]
        q, k, v = (
            part.view(rows, length, -1, self.size).transpose(1, 2)
            for part in self.qkv(self.norms[0](x)).split([n * self.size for n in sizes], dim=-1)
        )
        attended = F.scaled_dot_product_attention(
            rotated(q, cos, sin), rotated(k, cos, sin), v,
            is_causal=True, enable_gqa=self.heads != self.groups,
        )  # fmt: skip
        x = x + self.out(attended.transpose(1, 2).reshape(rows, length, hidden))
        gate, up = self.gate_up(self.norms[1](x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(x.dtype)


class Llama(nn.Module):
    """Returns the mean loss of rows [b, s + 1], each one document."""

    def __init__(self, model: Model, vocab_size: int, length: int):
        super().__init__()
        hidden = model.hidden_size
        self.embedding = nn.Embedding(vocab_size, hidden)
        self.layers = nn.ModuleList(Layer(model) for _ in range(model.num_layers))
        self.norm = nn.RMSNorm(hidden, model.norm_epsilon)
        self.head = nn.Linear(hidden, vocab_size, bias=False)
        size = hidden // model.num_attention_heads
        rates = model.rotary_base ** (-torch.arange(0, size, 2) / size)
        angles = torch.outer(torch.arange(length), rates)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=model.init_method_std)

    def forward(self, drawn: torch.Tensor) -> torch.Tensor:
        x = self.embedding(drawn[:, :-1])
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        logits = self.head(self.norm(x)).float()
        return F.cross_entropy(logits.flatten(0, 1), drawn[:, 1:].flatten())


def found(case: Case, model: nn.Module, compiled: bool = True) -> dict:
    """What `measure` says of a step of `model`, which gives the loss of [b, s + 1] tokens."""
    device = device_of(case)
    train = case.run().train
    model.to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=train.lr, betas=(train.adam_beta1, train.adam_beta2),
        eps=train.adam_eps, weight_decay=train.weight_decay, fused=True,
    )  # fmt: skip
    compute = torch.compile(model) if compiled else model
    given = [torch.from_numpy(tokens(case, n)).to(device) for n in range(case.warm + case.steps)]

    def step(number: int, clock: Clock) -> float:
        clock.begin("forward")
        with torch.autocast(device.type, torch.bfloat16):
            loss = compute(given[number])
        clock.begin("backward")
        loss.backward()
        clock.begin("optimizer")
        torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip_grad)
        optimizer.step()
        optimizer.zero_grad()
        clock.begin(None)
        return float(loss.detach())

    return measure(case, device, step)


def main() -> None:
    case = Case.from_json(sys.argv[1])
    torch.manual_seed(0)
    say(found(case, Llama(case.run().model, case.vocab_size, case.length)))


if __name__ == "__main__":
    main()
