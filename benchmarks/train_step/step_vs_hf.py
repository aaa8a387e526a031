"""Our train step on a CPU beside Hugging Face's Llama: same weights, same tokens, one thread."""

from benchmarks.machine import reason_against
from benchmarks.processes import OURS
from benchmarks.results import Row, compare
from benchmarks.train_step.llama import Shape
from benchmarks.train_step.setting import Setting
from benchmarks.train_step.stepping import Stepper, Steps, median_cpu, steps_in_turn

PEER = "Hugging Face Llama"
MODULES = {
    OURS: "benchmarks.train_step.ours.step",
    PEER: "benchmarks.train_step.peers.llama_hf",
}
# Shapes, and steps of a round.
QUICK = ((Shape(256, 4, 4, 256), 8),)
FULL = (
    (Shape(512, 8, 8, 512), 6),
    (Shape(512, 8, 2, 2048), 3),
)


def measure(setting: Setting) -> list[Row]:
    """Tokens of a step by its CPU seconds, a row a shape."""
    return [_row(setting, shape, steps) for shape, steps in (QUICK if setting.quick else FULL)]


def _row(setting: Setting, shape: Shape, steps: int) -> Row:
    missing = reason_against("transformers")
    reasons = {PEER: missing} if missing else {}
    contenders = {
        name: lambda module=module: Stepper(module, shape.to_json())
        for name, module in MODULES.items()
        if name not in reasons
    }
    found = steps_in_turn(contenders, steps * setting.rounds, reasons)
    case = (
        f"{shape.layers} layers of {shape.hidden}, {shape.heads} heads and {shape.groups} of keys, "
        f"a row of {shape.seq_length}"
    )
    speed = {name: shape.seq_length / median_cpu(of_one) for name, of_one in found.items()}
    return compare(
        "step_vs_hf", speed[OURS], "tokens/CPU s", PEER, speed.get(PEER), "more", case,
        _note(found[OURS], found[PEER]) if PEER in found else "", reasons.get(PEER, ""),
    )  # fmt: skip


def _note(ours: Steps, theirs: Steps) -> str:
    """Whether both took the same steps: the largest difference of their losses."""
    pairs = [(a["loss"], b["loss"]) for a, b in zip(ours, theirs, strict=True)]
    apart = max(abs(a - b) / b for a, b in pairs)
    return (
        "forward, backward, clipping and AdamW in fp32, one thread, steps in turn; the losses of "
        f"{len(pairs)} steps from the same weights differ by {apart:.0e} of their size"
    )
