"""What was logged before: the lines of `metrics.jsonl` and `validation.jsonl`, as loggers have it.

A logger that knows which step it was told last, in whatever session, is sent what it lacks: what a
server missed that was down to the end, what a kill took from W&B's files, or all of it where a
logger is turned on later.
"""

from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from geo_nemo.common.parse import parse_json
from geo_nemo.train.callbacks.loggers.values import of_validation, renamed, scalars

METRICS, VALIDATION = "metrics.jsonl", "validation.jsonl"


class History:
    """Reads the files of a run's folder anew at each call."""

    def __init__(self, output: Path, names: str = "own"):
        self.output = output
        self.names = names

    def between(self, told: int, done: int) -> Iterator[tuple[int, dict[str, float]]]:
        """Steps after `told` up to `done`, counted as steps done, and their values."""
        logged = self._lines(METRICS, scalars, told, done)
        validated = self._lines(VALIDATION, of_validation, told, done)
        both = merge(logged, validated, key=itemgetter(0))
        for step, found in groupby(both, key=itemgetter(0)):
            values: dict[str, float] = {}
            for _, some in found:
                values |= some
            yield step, renamed(values, self.names, step)

    def _lines(
        self,
        name: str,
        numbers: Callable[[Mapping[str, Any]], dict[str, float]],
        told: int,
        done: int,
    ) -> Iterator[tuple[int, dict[str, float]]]:
        path = self.output / name
        if told >= done or not path.exists():
            return
        with path.open("rb") as file:
            for raw in file:
                try:
                    line = parse_json(raw)
                    step = int(line["step"]) + 1
                except (ValueError, KeyError, TypeError):
                    return  # it is being written
                if told < step <= done:
                    yield step, numbers(line)
