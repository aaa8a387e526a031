"""Contenders, each in a process of its own, in turn: CPU seconds of it and all its children.

A contender prints one line of JSON last, with what it counted itself.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from geo_nemo.common.errors import RunError

ROOT = Path(__file__).parents[1]
TAIL = 1 << 20
OURS = "ours"
# One thread in every library, so that a CPU second is a core's.
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
} | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}


@dataclass(frozen=True)
class Measured:
    """One run. cpu_seconds: user and system, with start-up, of the process and its children.

    said: what the contender printed; {} where it prints nothing of the kind.
    peak_bytes: most resident memory of the process, or of a child of it that needed more.
    """

    cpu_seconds: float
    wall_seconds: float
    said: dict[str, Any]
    peak_bytes: int = 0


def run_module(module: str, *arguments: str, paths: Sequence[str | Path] = ()) -> Measured:
    """`python -m module arguments`, with this checkout on its path. RunError where it fails."""
    return run([sys.executable, "-m", module, *arguments], paths=paths)


def run(
    command: Sequence[str | Path],
    paths: Sequence[str | Path] = (),
    environment: Mapping[str, str] = ONE_THREAD,
) -> Measured:
    """Run `command` to its end. paths: go before this checkout on PYTHONPATH."""
    before = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [*map(str, paths), str(ROOT), before]))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=errors, stdin=subprocess.DEVNULL,
            env=os.environ | environment | {"PYTHONPATH": path},
        )  # fmt: skip
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RunError(
                f"{' '.join(map(str, command))[:200]} ended with {process.returncode}: "
                f"{(_last_line(errors) or _last_line(out) or 'it said nothing')[:500]}"
            )
        said = _last_line(out)
    seconds = usage.ru_utime + usage.ru_stime
    return Measured(seconds, wall, _object(said), usage.ru_maxrss << 10)


def in_turn(
    contenders: Mapping[str, Callable[[int], Measured]],
    rounds: int,
    reasons: dict[str, str] | None = None,
) -> dict[str, list[Measured]]:
    """Run every contender once a round; the order turns by one each round.

    A contender is called with the number of the round. reasons: receives why a contender other
    than OURS failed; such a one is run no more and is not in what is returned. Without `reasons`
    every failure is raised.
    """
    found: dict[str, list[Measured]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name not in found:
                continue
            try:
                found[name].append(contenders[name](number))
            except RunError as error:
                if reasons is None or name == OURS:
                    raise
                reasons[name] = f"failed: {error}"
                del found[name]
    return found


def cpu(runs: Sequence[Measured]) -> float:
    """Median CPU seconds."""
    return statistics.median(run.cpu_seconds for run in runs)


def wall(runs: Sequence[Measured]) -> float:
    """Median wall seconds."""
    return statistics.median(run.wall_seconds for run in runs)


def said(runs: Sequence[Measured], name: str) -> float:
    """Median of a number that the contender printed."""
    return statistics.median(run.said[name] for run in runs)


def _last_line(file: BinaryIO) -> str:
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - TAIL))
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _object(line: str) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
