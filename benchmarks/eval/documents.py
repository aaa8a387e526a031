"""Documents scored by a CPU second: ours beside plain transformers, in sorted batches."""

from benchmarks.eval import world
from benchmarks.eval.setting import Setting
from benchmarks.machine import reason_against
from benchmarks.processes import OURS, in_turn, run_module, said
from benchmarks.results import Row, compare

PEER = "Hugging Face, sorted batches"
# Of the peer, which is held against us at the one that serves it best: few documents in large
# batches are mostly padding.
BATCHES = (1, 4, 32)


def measure(setting: Setting) -> list[Row]:
    """A row a model."""
    if missing := reason_against("transformers"):
        return [Row("documents_per_second", "", 0, "documents/CPU s", PEER, None, None, missing)]
    return [_row(setting, shape) for shape in world.shapes(setting.quick)]


def _row(setting: Setting, shape: world.Shape) -> Row:
    folder = world.make(setting.folder, shape)
    peers = {f"{PEER} of {size}": size for size in BATCHES}
    contenders = {
        OURS: lambda _: run_module("benchmarks.eval.ours.documents", str(folder)),
        **{
            name: lambda _, size=size: run_module(
                "benchmarks.eval.peers.documents_hf", str(folder), str(size)
            )
            for name, size in peers.items()
        },
    }
    found = in_turn(contenders, setting.rounds)
    speed = {name: shape.documents / said(runs, "seconds") for name, runs in found.items()}
    best = max(peers, key=speed.__getitem__)
    ours, theirs = (found[name][0].said["nats"] for name in (OURS, best))
    return compare(
        "documents_per_second", speed[OURS], "documents/CPU s", PEER, speed[best], "more",
        f"{shape.name} parameters, {shape.documents} documents",
        f"fp32, one thread, without loading; nats differ by {abs(ours / theirs - 1):.0e}; its "
        f"better batch size is {peers[best]}",
    )  # fmt: skip
