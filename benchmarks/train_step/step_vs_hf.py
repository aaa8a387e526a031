"""Our train step on a CPU beside Hugging Face's Llama: same weights, same tokens, one thread."""

import statistics

from benchmarks.machine import reason_against
from benchmarks.processes import OURS, Measured, in_turn, run_module
from benchmarks.results import Row, compare
from benchmarks.train_step.llama import Shape
from benchmarks.train_step.setting import Setting

PEER = "Hugging Face Llama"
QUICK = ((Shape(256, 4, 4, 256), 8),)
FULL = (
    (Shape(512, 8, 8, 512), 8),
    (Shape(512, 8, 2, 2048), 4),
)


def measure(setting: Setting) -> list[Row]:
    """Tokens of a step by its CPU seconds, a row a shape."""
    return [_row(setting, shape, steps) for shape, steps in (QUICK if setting.quick else FULL)]


def _row(setting: Setting, shape: Shape, steps: int) -> Row:
    def contender(module: str):
        return lambda number: run_module(module, shape.to_json(), str(steps))

    contenders = {OURS: contender("benchmarks.train_step.ours.step")}
    reasons: dict[str, str] = {}
    if missing := reason_against("transformers"):
        reasons[PEER] = missing
    else:
        contenders[PEER] = contender("benchmarks.train_step.peers.llama_hf")
    found = in_turn(contenders, setting.rounds, reasons)
    case = (
        f"{shape.layers} layers of {shape.hidden}, {shape.groups} key-value heads of "
        f"{shape.heads}, a row of {shape.seq_length}"
    )
    theirs = found.get(PEER)
    return compare(
        "step_vs_hf", speed(shape, found[OURS]), "tokens/CPU s", PEER,
        speed(shape, theirs) if theirs else None, "more", case,
        _note(found[OURS], theirs) if theirs else "", reasons.get(PEER, ""),
    )  # fmt: skip


def speed(shape: Shape, runs: list[Measured]) -> float:
    """Tokens a CPU second of the median step of all rounds."""
    return shape.seq_length / statistics.median(s for run in runs for s in run.said["cpu"])


def _note(ours: list[Measured], theirs: list[Measured]) -> str:
    """Whether both took the same steps: the largest difference of their losses."""
    pairs = list(zip(ours[0].said["losses"], theirs[0].said["losses"], strict=True))
    apart = max(abs(a - b) / b for a, b in pairs)
    return (
        "forward, backward, clipping and AdamW in fp32, one thread; the losses of "
        f"{len(pairs)} steps from the same weights differ by {apart:.0e} of their size"
    )
