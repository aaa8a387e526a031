"""Documents scored by a CPU second: ours beside plain transformers, in sorted batches of 32."""

from benchmarks.eval import world
from benchmarks.eval.setting import Setting
from benchmarks.machine import reason_against
from benchmarks.processes import OURS, in_turn, run_module, said
from benchmarks.results import Row, compare

PEER = "Hugging Face, sorted batches of 32"
MODULES = {
    OURS: "benchmarks.eval.ours.documents",
    PEER: "benchmarks.eval.peers.documents_hf",
}


def measure(setting: Setting) -> list[Row]:
    """A row a model."""
    shapes = (world.SMALL,) if setting.quick else (world.SMALL, world.LARGE)
    if missing := reason_against("transformers"):
        return [Row("documents_per_second", "", 0, "documents/CPU s", PEER, None, None, missing)]
    return [_row(setting, shape) for shape in shapes]


def _row(setting: Setting, shape: world.Shape) -> Row:
    folder = world.make(setting.folder, shape)
    contenders = {
        name: lambda _, module=module: run_module(module, str(folder))
        for name, module in MODULES.items()
    }
    found = in_turn(contenders, setting.rounds)
    speed = {name: shape.documents / said(runs, "seconds") for name, runs in found.items()}
    ours, theirs = (found[name][0].said["nats"] for name in (OURS, PEER))
    return compare(
        "documents_per_second", speed[OURS], "documents/CPU s", PEER, speed[PEER], "more",
        f"{shape.name} parameters, {shape.documents} documents",
        f"fp32, one thread, without loading; nats differ by {abs(ours / theirs - 1):.0e}",
    )  # fmt: skip
