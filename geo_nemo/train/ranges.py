"""Named ranges of a step, for a profile: data, forward, backward, gradient sync, optimizer.

Megatron-Core's schedules, gradient reduction and optimizer call `config.timers(name)` around their
parts. `Ranges` takes the place of its timers: each part becomes a range of torch's profiler, and of
NVTX where there is CUDA. Without it, which is the rule, none of this runs.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch.profiler import record_function

# Megatron-Core's name for a part to ours; others keep theirs.
_NAMES = {
    "forward-compute": "forward",
    "backward-compute": "backward",
    "all-grads-sync": "gradient sync",
    "params-all-gather": "parameter gather",
}


class Ranges:
    """Opens and closes ranges by name; a Megatron-Core `Timers` as far as those who start them."""

    def __init__(self) -> None:
        self._open: dict[str, list[record_function]] = {}

    def __call__(self, name: str, log_level: int | None = None) -> "_Range":
        return _Range(self, _NAMES.get(name, name))

    def start(self, name: str) -> None:
        """Open a range; one of the same name may be open already."""
        opened = record_function(name)
        opened.__enter__()
        self._open.setdefault(name, []).append(opened)
        if torch.cuda.is_available():
            torch.cuda.nvtx.range_push(name)

    def stop(self, name: str) -> None:
        """Close the range of this name that was opened last."""
        if torch.cuda.is_available():
            torch.cuda.nvtx.range_pop()
        self._open[name].pop().__exit__(None, None, None)

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        self.start(name)
        try:
            yield
        finally:
            self.stop(name)


class _Range:
    """A timer of Megatron-Core's, by the calls that are made of it."""

    def __init__(self, ranges: Ranges, name: str):
        self._ranges = ranges
        self._name = name

    def start(self, barrier: bool = False) -> None:
        """`barrier` is left out: ranks that are profiled must not wait for those that are not."""
        self._ranges.start(self._name)

    def stop(self, barrier: bool = False) -> None:
        self._ranges.stop(self._name)


_NOTHING = nullcontext()


def span(ranges: Ranges | None, name: str) -> AbstractContextManager[None]:
    """A range of this name, where there are ranges."""
    return _NOTHING if ranges is None else ranges.span(name)
