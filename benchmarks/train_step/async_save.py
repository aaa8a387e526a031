"""What a checkpoint costs the training loop: written beside it, and with the loop waiting."""

import shutil

from benchmarks.processes import Measured, in_turn, run_module, said
from benchmarks.results import Row, compare
from benchmarks.train_step.llama import Shape
from benchmarks.train_step.setting import Setting

MODULE = "benchmarks.train_step.ours.save"
QUICK = (Shape(256, 4, 4, 256), 3)
FULL = (Shape(512, 8, 8, 256), 5)


def measure(setting: Setting) -> list[Row]:
    """Seconds a save that the loop waits; and those with the slowdown of the steps beside it."""
    shape, saves = QUICK if setting.quick else FULL

    def contender(mode: str):
        def run(number: int) -> Measured:
            folder = setting.folder / f"{mode}-{number}"
            found = run_module(MODULE, mode, str(folder), shape.to_json(), str(saves))
            shutil.rmtree(folder)
            return found

        return run

    found = in_turn({mode: contender(mode) for mode in ("async", "blocking")}, setting.rounds)
    ours, peer = found["async"], found["blocking"]
    waited, blocking = said(ours, "waited"), said(peer, "waited")
    size = f"{said(ours, 'bytes') / 1e6:.0f} MB"
    first = said(ours, "first")
    rows = (
        (
            waited, "waiting",
            f"the loop sees {waited / blocking:.1%} of a blocking save; the first save of a "
            f"process takes its host memory: {first:.2f} s",
        ),
        (
            waited + max(0.0, said(ours, "slower")), "waiting and slower steps",
            "the steps beside a save share the processor with it",
        ),
    )  # fmt: skip
    return [
        compare(
            "async_save_stall", value, "s/save", "the same, blocking", blocking, "less",
            f"{size}, {what}", note,
        )
        for value, what, note in rows
    ]  # fmt: skip
