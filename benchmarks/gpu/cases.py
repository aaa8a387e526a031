"""What is measured: models, rows, precisions and contenders. Needs no torch."""

from dataclasses import asdict, dataclass

import numpy as np
import orjson

from geo_nemo.config import Run
from geo_nemo.config.load import load_config
from geo_nemo.model.flops import train_flops

VOCAB_SIZE = 128_256
# Mean length of a document in a packed sequence, in tokens; lengths are drawn exponentially.
DOCUMENT = 700
OURS, PLAIN, HUGGING_FACE = "ours", "plain PyTorch Llama", "Hugging Face Llama"
MODULES = {
    OURS: "benchmarks.gpu.ours",
    PLAIN: "benchmarks.gpu.plain",
    HUGGING_FACE: "benchmarks.gpu.hugging_face",
}
MODELS = ("0.5b", "1b", "3b")
LENGTHS = (2048, 8192)
PRECISIONS = ("bf16", "fp8_delayed", "fp8_tensorwise", "fp8_blockwise", "fp8_mxfp8")
# Tokens of a micro-batch that the sweep tries, in BF16; the others take the best of it.
SWEEP = (8192, 16384, 32768)


@dataclass(frozen=True)
class Case:
    """model: a recipe's name, or settings of one. rows: of `length` tokens in a micro-batch.

    packed: rows hold many documents; else each is one, as the peers take it.
    overrides: of the run, beside those. device: `gpu`, or `cpu` for the tests. steps: that are
    timed, after `warm` ones.
    """

    model: str
    length: int
    precision: str
    rows: int
    packed: bool = False
    overrides: tuple[str, ...] = ()
    vocab_size: int = VOCAB_SIZE
    device: str = "gpu"
    warm: int = 3
    steps: int = 5

    @property
    def tokens(self) -> int:
        """Tokens of a step."""
        return self.rows * self.length

    @property
    def name(self) -> str:
        packed = ", packed" if self.packed else ""
        return f"{self.model}, {self.rows} x {self.length}, {self.precision}{packed}"

    def to_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> "Case":
        values = orjson.loads(text)
        return cls(**values | {"overrides": tuple(values["overrides"])})

    def run(self) -> Run:
        """The run whose step is timed: one micro-batch, on one device."""
        return load_config(
            "train",
            Run,
            [
                "output_dir=none", "data.store=none", f"device={self.device}",
                f"model={self.model}", f"precision={self.precision}",
                f"data.seq_length={self.length}", f"train.micro_batch_size={self.rows}",
                f"train.global_batch_size={self.rows}", *self.overrides,
            ],
        )  # fmt: skip


def lengths(case: Case, step: int) -> list[np.ndarray]:
    """Documents' lengths in each row of a step, each int64, summing up to the row's length."""
    if not case.packed:
        return [np.array([case.length])] * case.rows
    rng = np.random.default_rng([step, case.length])
    found = []
    for _ in range(case.rows):
        drawn = 1 + rng.exponential(DOCUMENT, 4 + 4 * case.length // DOCUMENT).astype(np.int64)
        ends = np.cumsum(drawn)
        ends = np.append(ends[ends < case.length], case.length)
        found.append(np.diff(ends, prepend=0))
    return found


def tokens(case: Case, step: int) -> np.ndarray:
    """Random tokens of a step, int64 [rows, length + 1]: inputs, and labels one further on."""
    rng = np.random.default_rng([step, case.rows])
    return rng.integers(0, case.vocab_size, (case.rows, case.length + 1))


def flops(case: Case, step: int) -> float:
    """Operations of a step by the formula of geo_nemo.model.flops, attention by document."""
    of_all = np.concatenate(lengths(case, step))
    return train_flops(case.run().model, case.vocab_size, case.tokens, of_all)
