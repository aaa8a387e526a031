"""What contenders share: a Llama's shape, its first weights, tokens and rates. Needs no torch."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import orjson

from geo_nemo.config import Data, MetadataPolicy, Model, Run, Stage, Train

VOCAB_SIZE = 16_000
HEAD_SIZE = 64
STD = 0.02
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Shape:
    """A model, and the row that it trains on. groups: of key-value heads."""

    hidden: int
    layers: int
    groups: int
    seq_length: int

    @property
    def heads(self) -> int:
        return self.hidden // HEAD_SIZE

    @property
    def ffn(self) -> int:
        return self.hidden * 3

    def to_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> "Shape":
        return cls(**orjson.loads(text))


def run_of(shape: Shape, output: str = "none") -> Run:
    """A run of this model in fp32, at one learning rate; its data are random."""
    return Run(
        name="benchmark", output_dir=output, device="cpu",
        model=Model(
            num_layers=shape.layers, hidden_size=shape.hidden, num_attention_heads=shape.heads,
            num_query_groups=shape.groups, ffn_hidden_size=shape.ffn,
        ),
        data=Data(store="none", seq_length=shape.seq_length),
        stages={"all": Stage(fraction=1, metadata=MetadataPolicy())},
        train=Train(
            steps=10_000, global_batch_size=1, warmup_steps=0, lr=LEARNING_RATE,
            min_lr=LEARNING_RATE,
        ),
        precision={"dtype": "fp32"},
    )  # fmt: skip


def tokens(shape: Shape, step: int) -> np.ndarray:
    """Random tokens of one document, int64 [s + 1]: inputs, and labels one further on."""
    return np.random.default_rng(step).integers(0, VOCAB_SIZE, shape.seq_length + 1)


def weights(shape: Shape) -> Iterator[tuple[str, np.ndarray]]:
    """First weights, float32, by the names of Hugging Face's LlamaForCausalLM."""
    rng = np.random.default_rng(0)
    hidden, kv = shape.hidden, shape.groups * HEAD_SIZE

    def matrix(*size: int) -> np.ndarray:
        return rng.standard_normal(size, np.float32) * np.float32(STD)

    norm = np.ones(hidden, np.float32)
    yield "model.embed_tokens.weight", matrix(VOCAB_SIZE, hidden)
    for layer in range(shape.layers):
        name = f"model.layers.{layer}"
        yield f"{name}.input_layernorm.weight", norm
        yield f"{name}.self_attn.q_proj.weight", matrix(hidden, hidden)
        yield f"{name}.self_attn.k_proj.weight", matrix(kv, hidden)
        yield f"{name}.self_attn.v_proj.weight", matrix(kv, hidden)
        yield f"{name}.self_attn.o_proj.weight", matrix(hidden, hidden)
        yield f"{name}.post_attention_layernorm.weight", norm
        yield f"{name}.mlp.gate_proj.weight", matrix(shape.ffn, hidden)
        yield f"{name}.mlp.up_proj.weight", matrix(shape.ffn, hidden)
        yield f"{name}.mlp.down_proj.weight", matrix(hidden, shape.ffn)
    yield "model.norm.weight", norm
    yield "lm_head.weight", matrix(VOCAB_SIZE, hidden)
