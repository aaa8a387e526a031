"""How a run stands, from its folder alone: its heartbeat, metrics, checkpoints and jobs.

A few small files and the ends of long ones are read, so that hundreds of runs take a moment, and
every one of them may be missing, half written or damaged: then less is known. Where a SLURM job
holds the folder, SLURM is asked; else the heartbeat and its process tell whether the run lives.
"""

import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from geo_nemo.common.errors import UserError
from geo_nemo.config import Run
from geo_nemo.diagnostics.files import (
    json_object,
    json_object_or_none,
    last_objects,
    modified,
    number,
    read_text,
)
from geo_nemo.diagnostics.run_errors import END, Failure, last_failure, starts, verdict
from geo_nemo.diagnostics.slurm import Job, ask_jobs
from geo_nemo.runtime.launcher import pid_namespace
from geo_nemo.train.checkpoint.files import RECORD, checkpoints, shape_problem, step_of
from geo_nemo.train.stage_steps import plan_stages

State = Literal["waiting", "running", "silent", "stopped", "finished", "failed", "broken"]
READERS = 16
# Lines of metrics whose mean is the speed.
RECENT_LINES = 20
# A heartbeat that is older than this, and than several steps and heartbeats, is silence.
LEAST_SILENCE_S = 120.0
PATIENCE = 4.0
# How verdicts of a job begin that are no failure; those of slurm/train.sbatch.
_GOOD_VERDICTS = ("finished", "stopped and saved", "ended by SLURM", "asked to stop")
# What shows that a folder is a run's.
MARKS = ("run.json", "heartbeat.json", "metrics.jsonl", "slurm/job", "checkpoints", "stacks", END)


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Steps of a stage: from `first_step` up to, not including, `last_step`."""

    name: str
    first_step: int
    last_step: int


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What is known of a run; None or empty: it is not.

    step: steps that are done. loss, tokens_per_second, seconds_per_step: lately. seconds_left: of
    the steps that are left, at that speed; validation and saves are not in it. silent_seconds:
    since the last heartbeat. restarts: processes after the first. checkpoint_age: in seconds.
    job: id and state of its SLURM job. problem: why so little is known, of a broken one.
    """

    run: str
    state: State
    name: str = ""
    step: int | None = None
    steps: int | None = None
    stage: str | None = None
    stages: tuple[StageStatus, ...] = ()
    loss: float | None = None
    tokens_per_second: float | None = None
    seconds_per_step: float | None = None
    seconds_left: float | None = None
    silent_seconds: float | None = None
    restarts: int = 0
    checkpoint: str | None = None
    checkpoint_age: float | None = None
    damaged_checkpoints: tuple[str, ...] = ()
    last_error: Failure | None = None
    verdict: str = ""
    job: Job | None = None
    host: str | None = None
    problem: str = ""


def runs_below(folder: Path) -> list[Path]:
    """`folder`; or, where it is no run but holds some, as of a sweep, those."""
    if is_run(folder):
        return [folder]
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and is_run(path))
    except OSError:
        inside = []
    return inside or [folder]


def read_statuses(folders: Sequence[Path]) -> list[RunStatus]:
    """The status of each run; SLURM is asked once for all of them."""
    now = time.time()
    with ThreadPoolExecutor(READERS) as pool:
        owners = list(pool.map(_owner, folders))
        jobs = ask_jobs(owner for owner in owners if owner)
        found = [jobs.get(owner) for owner in owners]
        return list(pool.map(lambda folder, job: read_status(folder, job, now), folders, found))


def read_status(folder: Path, job: Job | None = None, now: float | None = None) -> RunStatus:
    """The status of the run in `folder`; raises nothing.

    job: what SLURM says of the job that holds the folder. now: seconds since the epoch.
    """
    try:
        return _read(folder, job, time.time() if now is None else now)
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return RunStatus(str(folder), "broken", problem=" ".join(reason.split()))


def is_run(folder: Path) -> bool:
    """Whether a training has begun in a folder."""
    try:
        return any((folder / mark).exists() for mark in MARKS)
    except OSError:
        return False


def _owner(folder: Path) -> str:
    """Id of the job that holds the folder; empty: none does."""
    return read_text(folder / "slurm" / "job").strip()


def _read(folder: Path, job: Job | None, now: float) -> RunStatus:
    os.listdir(folder)  # names what is wrong with it: none, no folder, no right
    if not is_run(folder):
        raise ValueError("is no run's folder, or none that has begun: it has no run.json")
    record, problem = _record(folder)
    run = _config(record)
    beat = json_object_or_none(folder / "heartbeat.json") or {}
    end = json_object_or_none(folder / END)
    status = RunStatus(
        run=str(folder),
        state="broken",
        name=str(record.get("name", "")),
        restarts=max(len(_list(record.get("sessions"))) - 1, 0),
        last_error=last_failure(folder),
        job=job,
        host=beat.get("host") if isinstance(beat.get("host"), str) else None,
        problem=problem,
        **_progress(folder, beat, end, run),
        **_checkpoint(folder, now),
    )
    found = starts(folder)
    if found:
        status = replace(status, verdict=verdict(found[-1]))
    if (when := number(beat.get("time"))) is not None:
        status = replace(status, silent_seconds=max(now - when, 0.0))
    status = replace(status, seconds_left=_left(status))
    if problem:
        return status
    status = replace(status, state=_state(folder, status, beat, end, run))
    noted = status.last_error.time if status.last_error is not None else 0.0
    if status.state == "failed" and (when or 0.0) > noted:
        line = (
            f"process {beat.get('pid')} on {beat.get('host')} ended without a word: was it killed?"
        )
        return replace(status, last_error=Failure(when or 0.0, line, "heartbeat.json"))
    return status


def _record(folder: Path) -> tuple[dict[str, Any], str]:
    """`run.json`, and what is wrong with it; it comes with the first step, so it may be missing."""
    path = folder / "run.json"
    try:
        return json_object(path), ""
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"run.json cannot be read: {error.strerror}"
    except ValueError:
        return {}, "run.json is cut off or no JSON"


def _config(record: dict[str, Any]) -> Run | None:
    """The run's settings; None where this version of geo_nemo does not read them."""
    try:
        return Run.model_validate(record.get("config"))
    except ValidationError:
        return None


def _progress(
    folder: Path, beat: dict[str, Any], end: dict[str, Any] | None, run: Run | None
) -> dict[str, Any]:
    """Steps, stage, loss and speed, of whichever file is the newest."""
    lines = list(islice(last_objects(folder / "metrics.jsonl"), RECENT_LINES))
    written = modified(folder / "metrics.jsonl") or 0.0
    step = _whole(beat.get("step"))
    stage, loss = beat.get("stage"), number(beat.get("loss"))
    if lines and (logged := _whole(lines[0].get("step"))) is not None:
        if step is None or written >= (number(beat.get("time")) or 0.0):
            step = logged + 1
            stage, loss = lines[0].get("stage"), number(lines[0].get("loss"))
        stage = stage or lines[0].get("stage")
        loss = number(lines[0].get("loss")) if loss is None else loss
    if end is not None and (ended := _whole(end.get("step"))) is not None:
        step = ended
    stages = (
        tuple(StageStatus(each.name, each.first_step, each.last_step) for each in plan_stages(run))
        if run is not None
        else ()
    )
    inside = [each.name for each in stages if step is not None and each.first_step <= step]
    return {
        "step": step,
        "steps": run.train.steps if run is not None else _whole(beat.get("steps")),
        "stage": inside[-1] if inside else stage if isinstance(stage, str) else None,
        "stages": stages,
        "loss": loss,
        "tokens_per_second": _mean(lines, "tokens_per_second"),
        "seconds_per_step": _mean(lines, "seconds"),
    }


def _checkpoint(folder: Path, now: float) -> dict[str, Any]:
    """The newest checkpoint whose files have the sizes of its record; no content is read."""
    damaged = []
    for path in reversed(checkpoints(folder / "checkpoints")):
        try:
            problem = shape_problem(path)
        except UserError as error:
            problem = str(error)
        if problem:
            damaged.append(f"{path.name}: {problem}")
            continue
        age = now - (modified(path / RECORD) or now)
        return {"checkpoint": path.name, "checkpoint_age": max(age, 0.0),
                "damaged_checkpoints": tuple(damaged)}  # fmt: skip
    return {"damaged_checkpoints": tuple(damaged)}


def _state(
    folder: Path,
    status: RunStatus,
    beat: dict[str, Any],
    end: dict[str, Any] | None,
    run: Run | None,
) -> State:
    job = status.job
    if job is not None and job.waits:
        return "waiting"
    if job is not None and not job.is_over:
        return "silent" if _is_silent(status, run) else "running"
    ended = _ended(folder, status.verdict, beat, end)
    if ended is not None:
        return ended
    if status.checkpoint is not None and step_of(Path(status.checkpoint)) == status.steps:
        return "finished"
    lives = _process_lives(beat)
    if lives is False or (lives is None and job is not None):
        return "failed"  # it has ended without a word
    return "silent" if _is_silent(status, run) else "running"


def _ended(
    folder: Path, said: str, beat: dict[str, Any], end: dict[str, Any] | None
) -> State | None:
    """What the process or its job said last of its end; None where it went on after that."""
    told: list[tuple[float, State]] = []
    if end is not None and end.get("event") in ("finished", "failed", "stopped"):
        told.append((number(end.get("time")) or 0.0, end["event"]))
    found = starts(folder)
    when = modified(found[-1] / "verdict") if found and said else None
    if when is not None and when >= (number(beat.get("time")) or 0.0):
        good: State = "finished" if said == "finished" else "stopped"
        told.append((when, good if said.startswith(_GOOD_VERDICTS) else "failed"))
    return max(told)[1] if told else None


def _is_silent(status: RunStatus, run: Run | None) -> bool:
    """Whether it was longer silent than steps and heartbeats take."""
    every = run.health.heartbeat_seconds if run is not None else 0.0
    patience = PATIENCE * max(every, status.seconds_per_step or 0.0)
    return status.silent_seconds is not None and status.silent_seconds > max(
        patience, LEAST_SILENCE_S
    )


def _process_lives(beat: dict[str, Any]) -> bool | None:
    """Whether the process of the heartbeat lives; None where this machine cannot know."""
    import psutil

    pid, when = _whole(beat.get("pid")), number(beat.get("time"))
    if pid is None or when is None or beat.get("host") != socket.gethostname():
        return None
    if beat.get("pid_namespace", pid_namespace()) != pid_namespace():
        return None
    try:
        # Another process may have its number by now.
        return psutil.Process(pid).create_time() <= when
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None


def _left(status: RunStatus) -> float | None:
    if status.step is None or status.steps is None or status.seconds_per_step is None:
        return None
    return max(status.steps - status.step, 0) * status.seconds_per_step


def _mean(lines: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [value for line in lines if (value := number(line.get(key))) is not None]
    return sum(values) / len(values) if values else None


def _whole(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None and found >= 0 else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
