"""Questions answered by a CPU second: ours beside lm-evaluation-harness, on the same model."""

from benchmarks.eval import world
from benchmarks.eval.setting import Setting
from benchmarks.machine import reason_against
from benchmarks.processes import OURS, in_turn, run_module, said
from benchmarks.results import Row, compare

PEER = "lm-evaluation-harness"
MODULES = {OURS: "benchmarks.eval.ours.questions", PEER: "benchmarks.eval.peers.questions_lm_eval"}


def measure(setting: Setting) -> list[Row]:
    """A row a model, with the batch size that serves the peer best."""
    shapes = world.shapes(setting.quick)
    return [_row(setting, shape, shots) for shape in shapes for shots in world.SHOTS]


def _row(setting: Setting, shape: world.Shape, shots: int) -> Row:
    folder = world.make(setting.folder, shape)
    missing = reason_against("lm_eval")
    reasons = {PEER: missing} if missing else {}
    contenders = {
        name: lambda _, module=module: run_module(module, str(folder), str(shots))
        for name, module in MODULES.items()
        if name not in reasons
    }
    found = in_turn(contenders, setting.rounds, reasons)
    speed = {name: shape.questions / said(runs, "seconds") for name, runs in found.items()}
    note = ""
    if PEER in found:
        pairs = zip(*(found[name][0].said["answers"] for name in (OURS, PEER)), strict=True)
        same = sum(a == b for a, b in pairs)
        note = (
            f"fp32, one thread, without loading; {same} of {shape.questions} answers are the same; "
            f"its better batch size is {found[PEER][0].said['batch_size']}"
        )
    return compare(
        "questions_per_second", speed[OURS], "questions/CPU s", PEER, speed.get(PEER), "more",
        f"{shape.name} parameters, {shape.questions} questions of {world.OPTIONS} options, "
        f"{shots}-shot", note,
        reasons.get(PEER, ""),
    )  # fmt: skip
