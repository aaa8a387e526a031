"""`python -m benchmarks.scaling`: what runs of paper scale would take, by `geo-nemo plan`'s model.

Writes docs/scaling.md. Every figure is derived: sizes and memory by geo_nemo.model, operations by
geo_nemo.model.flops, time from an assumed fraction of the chip's peak and stated bandwidths.

a step = operations / (peak x MFU assumed) / (1 - pipeline bubble)
         + tensor-parallel messages + what of the data-parallel ones nothing hides
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from geo_nemo.config import Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.model.flops import MEMORY_GIB, PEAK_TFLOPS, train_flops
from geo_nemo.model.layout import Layout, check_layout
from geo_nemo.model.memory import worst_rank
from geo_nemo.train.plan import GIB, USABLE

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
MODELS = ("0.5b", "1b", "3b", "8b")
GPUS = (1, 8, 32, 512)
TOKENS = (42e9, 160e9)
VOCAB_SIZE = 128_256
CHIP = "H100"
MFU = 0.40
NODE = 8
# Bytes a second of a GPU, one way. NVLink 4: 900 GB/s both ways (NVIDIA H100 data sheet).
# InfiniBand NDR: 400 Gb/s a port, a port a GPU (NVIDIA DGX H100 data sheet).
NVLINK = 450e9
INFINIBAND = 50e9
# Of both, what collectives reach; assumed.
REACHED = 0.8
# Tried in this order; the first that fits is taken.
RECOMPUTE = ("none", "selective", "full")
LAYOUTS = ((1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (8, 4))
MICRO_BATCHES = (8, 4, 2, 1)


@dataclass(frozen=True)
class Line:
    """A model on a number of GPUs. step: seconds; lost: of it, to messages and bubble."""

    run: Run
    layout: Layout
    gpus: int
    memory: int
    step: float
    lost: float
    mfu: float

    def days(self, tokens: float) -> float:
        """Days to train on `tokens`."""
        a_step = self.run.train.global_batch_size * self.run.data.seq_length
        return tokens / a_step * self.step / 86400


def plan(model: str, gpus: int) -> Line | None:
    """The least parallel layout that fits; None where none does."""
    for recompute, (tensor, pipeline), sequences in product(RECOMPUTE, LAYOUTS, MICRO_BATCHES):
        if tensor * pipeline > gpus:
            continue
        run = run_of(model, tensor, pipeline, sequences, recompute)
        try:
            layout = check_layout(run, VOCAB_SIZE, gpus)
        except UserError:
            continue
        memory = worst_rank(run, VOCAB_SIZE, layout).total
        if memory <= USABLE * MEMORY_GIB[CHIP] * GIB:
            return timed(run, layout, gpus, memory)
    return None


@cache
def base(model: str) -> Run:
    """A run of the papers' batch, 2,048 sequences of 2,048 tokens, on one process."""
    settings = ["output_dir=none", "data.store=none", f"model={model}", "parallel=overlap"]
    return load_config("train", Run, settings)


def run_of(model: str, tensor: int, pipeline: int, sequences: int, recompute: str) -> Run:
    """The run under a layout."""
    run = base(model)
    parallel = run.parallel.model_copy(
        update={
            "tensor": tensor,
            "pipeline": pipeline,
            "sequence_parallel": tensor > 1,
            "recompute": recompute,
        }
    )
    train = run.train.model_copy(update={"micro_batch_size": sequences})
    return run.model_copy(update={"parallel": parallel, "train": train})


def timed(run: Run, layout: Layout, gpus: int, memory: int) -> Line:
    """The time of a step."""
    compute = step_flops(run) * recomputed(run) / (gpus * PEAK_TFLOPS[CHIP]["bf16"] * 1e12 * MFU)
    piped = compute / (1 - layout.bubble)
    micro_batch = compute / layout.micro_batches
    reduce, gather = data_parallel_seconds(run, layout, gpus)
    # Gradients travel beside the last micro-batch's backward pass, two thirds of its time, and
    # weights beside the first one's forward pass.
    shown = max(0.0, reduce - micro_batch * 2 / 3) + max(0.0, gather - micro_batch / 3)
    step = piped + tensor_parallel_seconds(run, layout) + shown
    useful = step_flops(run) / (gpus * PEAK_TFLOPS[CHIP]["bf16"] * 1e12)
    return Line(run, layout, gpus, memory, step, 1 - compute / step, useful / step)


def step_flops(run: Run) -> float:
    """Operations of a step whose sequences are one document each, the most that attention takes."""
    sequences, length = run.train.global_batch_size, run.data.seq_length
    return sequences * train_flops(run.model, VOCAB_SIZE, length, np.array([length]))


def recomputed(run: Run) -> float:
    """Operations with those that recomputation adds, beside those without."""
    model, kind = run.model, run.parallel.recompute
    if kind == "none":
        return 1.0
    layers = 3 * model.hidden_size * model.ffn_hidden_size
    if kind == "full":
        layers += 2 * model.hidden_size * (model.query_size + model.key_size)
    again = 2.0 * model.num_layers * layers * run.train.global_batch_size * run.data.seq_length
    return 1 + again / step_flops(run)


def data_parallel_seconds(run: Run, layout: Layout, gpus: int) -> tuple[float, float]:
    """Seconds of a step's reduce-scatter of fp32 gradients and all-gather of bf16 weights.

    A ring passes (n - 1) / n of the bytes of a rank through its slowest link. Over nodes that is
    InfiniBand, whose ports the ranks of a group in one node use together.
    """
    ranks = layout.data
    if ranks == 1:
        return 0.0, 0.0
    parameters = worst_rank(run, VOCAB_SIZE, layout).parameters
    in_node = max(1, NODE // run.parallel.model_parallel_size)
    link = NVLINK if gpus <= NODE else min(NVLINK, INFINIBAND * in_node)
    passed = parameters * (ranks - 1) / ranks / (link * REACHED)
    return 4 * passed, 2 * passed


def tensor_parallel_seconds(run: Run, layout: Layout) -> float:
    """Seconds of a step's gathers and scatters inside layers, over NVLink, that nothing hides.

    Sequence parallelism has two of each a layer in the forward pass, and as many in the backward
    pass, which gathers an input once more for each of two weights' gradients.
    """
    tensor = run.parallel.tensor
    if tensor == 1:
        return 0.0
    tokens = run.train.micro_batch_size * run.data.seq_length
    message = 2 * tokens * run.model.hidden_size * (tensor - 1) / tensor
    layers = run.model.num_layers // run.parallel.pipeline
    return 10 * message * layers * layout.micro_batches / (NVLINK * REACHED)


def table() -> list[str]:
    """The lines of the page's table, in Markdown."""
    head = (
        "model", "GPUs", "tensor x data x pipeline", "sequences a micro-batch", "computed again",
        "GiB a GPU", "seconds a step", "lost to messages and bubble", "MFU",
        *(f"days for {tokens / 1e9:.0f}B" for tokens in TOKENS),
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for model, gpus in product(MODELS, GPUS):
        line = plan(model, gpus)
        cells = [model, f"{gpus}"]
        if line is None:
            cells += ["does not fit", *[""] * (len(head) - 3)]
        else:
            parallel = line.run.parallel
            cells += [
                f"{parallel.tensor} x {line.layout.data} x {parallel.pipeline}",
                f"{line.run.train.micro_batch_size}",
                "mlp" if parallel.recompute == "selective" else parallel.recompute,
                f"{line.memory / GIB:.0f}",
                f"{line.step:.3g}",
                f"{line.lost:.1%}",
                f"{line.mfu:.1%}",
                *(f"{line.days(tokens):.3g}" for tokens in TOKENS),
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def page() -> str:
    """The whole page."""
    return f"""# Paper scale, planned

**Every figure of the table is derived, none is measured.** `python -m benchmarks.scaling` writes
this page anew.

{chr(10).join(table())}

What stands behind it:

- **Run:** {VOCAB_SIZE:,} tokens of vocabulary, 2,048 sequences of 2,048 tokens a step (4.19M),
  BF16, distributed optimizer, gradients and weights sent beside computation (`parallel=overlap`).
- **Layout:** the first that fits in {USABLE:.0%} of the chip's {MEMORY_GIB[CHIP]} GiB: without
  recomputation, then with that of the MLP, then of whole layers; among these the least parallel
  one, and of that the largest micro-batch.
- **Memory:** `geo_nemo.model.memory`, as `geo-nemo plan` prints it; derived from shapes, its
  parts tested against a CPU's engine, not against a GPU.
- **Operations:** `geo_nemo.model.flops`, each sequence as one document: packed ones have less.
- **MFU of a chip by itself: {MFU:.0%}, assumed**, of {PEAK_TFLOPS[CHIP]["bf16"]} TFLOP/s (NVIDIA
  H100 SXM data sheet, dense BF16). The column MFU is what is left of it after recomputation,
  messages and bubble.
- **Bandwidth:** NVLink 4, {NVLINK / 1e9:.0f} GB/s one way a GPU (900 GB/s both ways: NVIDIA H100
  data sheet). InfiniBand NDR, {INFINIBAND / 1e9:.0f} GB/s a GPU (400 Gb/s a port, 8 ports a node:
  NVIDIA DGX H100 data sheet). Collectives are assumed to reach {REACHED:.0%} of either.
- **Messages:** gradients in fp32 beside the last micro-batch's backward pass, weights in BF16
  beside the first one's forward pass; what these do not hide is added. Tensor-parallel messages
  are added whole. Latency, stragglers, restarts, checkpoints and waiting for data are left out:
  all of them make a run longer.

FP8 is left out until it has been measured. When the single-chip MFU of `python -m benchmarks gpu`
is known, it takes the place of the assumed one (`MFU` in `benchmarks/scaling.py`).
"""


if __name__ == "__main__":
    PAGE.write_text(page())
    print("\n".join(table()))
