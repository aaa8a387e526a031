"""Contenders that wait in processes of their own and take a step when they are told to.

Steps in turn, rather than runs: what else the machine does then slows both down alike.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import orjson

from benchmarks.processes import ONE_THREAD, OURS, ROOT
from geo_nemo.common.errors import RunError

# The first ones make buffers and moments.
WARM_STEPS = 2
PATIENCE_S = 60
Steps = list[dict[str, float]]


class Stepper:
    """A process that runs `module`, which calls `answer`."""

    def __init__(self, module: str, *arguments: str):
        self.module = module
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
        )  # fmt: skip

    def __enter__(self) -> "Stepper":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=PATIENCE_S)
        self._errors.close()

    def step(self) -> dict[str, Any]:
        """What the process says of its next step. RunError where it has ended."""
        try:
            self._process.stdin.write(b"step\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is told below
        for line in self._process.stdout:
            if line.startswith(b"{"):
                return orjson.loads(line)
        self._process.wait(PATIENCE_S)
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        raise RunError(f"{self.module} ended: {(last or ['it said nothing'])[0][:500]}")


def answer(step: Callable[[int], float]) -> None:
    """Take a step for each line of the standard input; say its loss, CPU and wall seconds.

    step: takes the optimizer step of a number, and returns its loss.
    """
    for number, _ in enumerate(sys.stdin):
        cpu, wall = time.process_time(), time.perf_counter()
        loss = step(number)
        said = {
            "loss": loss,
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
        }
        print(orjson.dumps(said).decode(), flush=True)


def steps_in_turn(
    contenders: Mapping[str, Callable[[], Stepper]], count: int, reasons: dict[str, str]
) -> dict[str, Steps]:
    """The warm steps and `count` more of each contender, one after another; the order turns.

    reasons: receives why a contender other than OURS failed, which then is not in what is returned.
    """
    found: dict[str, Steps] = {name: [] for name in contenders}
    with ExitStack() as stack:
        steppers = {name: stack.enter_context(make()) for name, make in contenders.items()}
        for number in range(WARM_STEPS + count):
            names = list(found)
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                try:
                    found[name].append(steppers[name].step())
                except RunError as error:
                    if name == OURS:
                        raise
                    reasons[name] = f"failed: {error}"
                    del found[name]
    return found


def median_cpu(steps: Steps) -> float:
    """CPU seconds of the median step that is not a warm one."""
    return statistics.median(step["cpu"] for step in steps[WARM_STEPS:])
