"""Times of a step and its parts, by events of the GPU, or by the clock on a CPU."""

import json
import time
from collections.abc import Callable
from itertools import pairwise

import torch

from benchmarks.gpu.cases import Case

PARTS = ("forward", "backward", "optimizer")


class Clock:
    """Seconds of a step's parts, one behind the other; on a GPU, of the GPU's own work."""

    def __init__(self, device: torch.device):
        self.device = device
        self._moments: list[tuple[str | None, object]] = []

    def begin(self, part: str | None) -> None:
        """From here on it is `part`; None: nothing that is counted."""
        if self.device.type == "cuda":
            moment = torch.cuda.Event(enable_timing=True)
            moment.record()
        else:
            moment = time.perf_counter()
        self._moments.append((part, moment))

    def take(self) -> dict[str, float]:
        """The parts' seconds since the last call."""
        self.synchronize()
        found = dict.fromkeys(PARTS, 0.0)
        for (part, first), (_, last) in pairwise(self._moments):
            if part is not None:
                on_gpu = self.device.type == "cuda"
                found[part] += first.elapsed_time(last) / 1e3 if on_gpu else last - first
        self._moments.clear()
        return found

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def device_of(case: Case) -> torch.device:
    return torch.device("cuda", 0) if case.device == "gpu" else torch.device("cpu")


def measure(case: Case, device: torch.device, step: Callable[[int, Clock], float]) -> dict:
    """Seconds of the timed steps and their parts, their losses, peak memory.

    step: takes the step of a number and returns its loss; it marks its parts on the clock.
    """
    clock = Clock(device)
    losses = [step(number, clock) for number in range(case.warm)]
    clock.take()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    losses += [step(case.warm + number, clock) for number in range(case.steps)]
    clock.synchronize()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        "seconds": seconds / case.steps,
        "parts": {name: value / case.steps for name, value in clock.take().items()},
        "losses": losses,
        "peak_bytes": peak,
        "chip": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }


def say(found: dict) -> None:
    """The last line of a contender's output."""
    print(json.dumps(found), flush=True)
