"""Carries out a plan: trains, branches, evaluates; several runs at once; resumes after a kill.

What is done is read from disk: a run whose last checkpoint is there is not trained again, and a run
that has its line is passed over.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import click

from benchmarks.experiment.branch import branch
from benchmarks.experiment.evaluation import eval_arguments
from benchmarks.experiment.plan import Planned
from benchmarks.experiment.schema import Corpus, Evaluation
from geo_nemo.cli.codes import MISTAKE, STOPPED
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.common.files import make_folder, read_json, write_whole, writing
from geo_nemo.common.folders import remove_folder
from geo_nemo.common.lock import folder_lock
from geo_nemo.config.quoting import quote
from geo_nemo.train.checkpoint.files import checkpoints, shape_problem, step_of

TIMES, PID = "seconds.json", "pid"
POLL_S = 0.5


class Stopped(Exception):
    """A stop signal came; the same command goes on."""


class CommandFailed(RunError):
    """A command of `geo-nemo` that did not end well. code: its exit code."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


@contextmanager
def mistakes_told() -> Iterator[None]:
    """Turn what a command called its user's mistake into the `UserError` that it is."""
    try:
        yield
    except CommandFailed as error:
        if error.code != MISTAKE:
            raise
        raise UserError(str(error)) from None


class Processes:
    """Commands of `geo-nemo`, each with its share of the cores; a signal ends all of them."""

    def __init__(self, at_once: int):
        self.stopped = threading.Event()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._threads = str(max(1, len(os.sched_getaffinity(0)) // at_once))

    def run(
        self, arguments: Sequence[str], log: Path, enough: Callable[[], bool] | None = None
    ) -> float:
        """Run one to its end, in seconds. CommandFailed with its last line where it fails.

        One that a command before, which was killed, has left in the folder of `log` ends first.
        enough: asked now and then; where it says so, a training is stopped, which is no failure.
        """
        make_folder(log.parent)
        self._wait_for_one_left_over(log.parent)
        begin = time.monotonic()
        with writing(log):
            file = log.open("ab")
        with file:
            process = self._start(arguments, file)
        try:
            with writing(log.parent / PID):
                (log.parent / PID).write_text(_note(process.pid))
            code = _code(process, enough)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        if self.stopped.is_set():
            raise Stopped
        if code:
            words = f"geo-nemo {arguments[0]} ended with {code}: {last_line(log)}"
            raise CommandFailed(words, code)
        return time.monotonic() - begin

    def _start(self, arguments: Sequence[str], file: BinaryIO) -> subprocess.Popen[bytes]:
        with self._lock:
            if self.stopped.is_set():
                raise Stopped
            process = subprocess.Popen(
                [sys.executable, "-m", "geo_nemo", *arguments], stdin=subprocess.DEVNULL,
                stdout=file, stderr=file,
                # As it is now: recipes that were made before the runs have been added to it.
                env={"OMP_NUM_THREADS": self._threads, **os.environ},
            )  # fmt: skip
            self._running.add(process)
            if self.stopped.is_set():  # it came while the process was made
                process.send_signal(signal.SIGTERM)
        return process

    def _wait_for_one_left_over(self, folder: Path) -> None:
        with suppress(OSError, ValueError):
            noted = (folder / PID).read_text()
            # A number is given out again, but not with the time at which the process started.
            number, _ = noted.split()
            while noted == _note(int(number)) and not self.stopped.is_set():
                time.sleep(POLL_S)

    def stop(self, number: int = signal.SIGTERM, frame: object = None) -> None:
        """Hand a signal on; nothing is started after it."""
        self.stopped.set()
        for process in list(self._running):
            process.send_signal(number)


def _code(process: subprocess.Popen[bytes], enough: Callable[[], bool] | None) -> int:
    """The exit code of a process; 0 where it was stopped, since it had done enough."""
    if enough is None:
        return process.wait()
    while not enough():
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL_S)
    process.terminate()
    code = process.wait()
    return 0 if code == STOPPED else code


def _note(pid: int) -> str:
    """What tells a process from any other of this machine: its number and when it started.

    The number alone where it has ended, or the system does not tell.
    """
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return str(pid)
    state, *others = told.rpartition(")")[2].split()
    return str(pid) if state == "Z" else f"{pid} {others[18]}"  # field 22 of proc(5)


@contextmanager
def stoppable(work: Path, processes: Processes) -> Iterator[None]:
    """With the folder of all that is made, locked; at a signal its processes end, then this one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, processes.stop)
    make_folder(work)
    try:
        with folder_lock(work, another="folder by --work"):
            yield
    except Stopped:
        click.echo("benchmarks: stopped; the same command goes on from there", err=True)
        sys.exit(STOPPED)


def make_store(corpus: Corpus, folder: Path, processes: Processes) -> Path:
    """The store of a synthetic corpus, whose own files are in `raw/`; made once for equal words."""
    record, text = folder / "made.json", corpus.model_dump_json()
    if record.exists() and record.read_bytes() != text.encode():
        remove_folder(folder)
    if not record.exists():
        log = folder / "log"
        processes.run(["synth", f"output={quote(folder / 'raw')}", *corpus.synth], log)
        prep = [f"input={quote(folder / 'raw' / 'news.jsonl.gz')}"]
        prep += [f"output={quote(folder / 'prep')}", *corpus.prep]
        processes.run(["prep", "run", *prep], log)
        write_whole(record, text.encode())
    return folder / "prep" / "store"


def last_line(log: Path) -> str:
    """Of a command's output, without the name in front."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("geo-nemo: ") if lines else f"see {log}"


def is_trained(run: Planned) -> bool:
    """Whether the checkpoint of its last step is there, by names and sizes."""
    found = checkpoints(run.folder / "checkpoints")
    if not found or step_of(found[-1]) != run.run.train.steps:
        return False
    return not shape_problem(found[-1])


def work_off(
    planned: Sequence[Planned],
    store: Path,
    evaluation: Evaluation,
    done: set[tuple[str, int]],
    processes: Processes,
    at_once: int,
    finished: Callable[[Planned, dict, dict[str, float]], None],
) -> None:
    """Carry out all runs that are not `done`, `at_once` at a time, in the order of the plan.

    finished: receives a run, its `eval.json` and the seconds that training and evaluation took.
    A run that fails lets the others go on; RunError at the end names all that failed.
    """
    ready = [threading.Event() for _ in planned]
    failed: dict[int, str] = {}
    lock = threading.Lock()
    # Of what is done, only the sources of others need to be there.
    wanted = needed(planned, done)

    def one(number: int) -> None:
        run = planned[number]
        try:
            if number in wanted:
                _train(planned, number, ready, failed, processes)
            ready[number].set()
            if (run.name, run.seed) not in done:
                result = _evaluate(run, store, evaluation, processes)
                with lock:
                    finished(run, result, _seconds(run.folder))
        except RunError as error:
            failed[number] = f"{run.title}: {error}"
        finally:
            ready[number].set()

    with ThreadPoolExecutor(at_once) as pool:
        for future in [pool.submit(one, number) for number in range(len(planned))]:
            try:
                future.result()
            except Stopped:
                continue
            except BaseException:
                processes.stop()
                raise
    if processes.stopped.is_set():
        raise Stopped
    if failed:
        raise RunError(f"{len(failed)} of {len(planned)} runs failed: {'; '.join(failed.values())}")


def needed(planned: Sequence[Planned], done: set[tuple[str, int]]) -> set[int]:
    """Numbers of the runs that must be trained: those not done, and what they branch off."""
    found: set[int] = set()
    for number, run in enumerate(planned):
        if (run.name, run.seed) in done:
            continue
        while number not in found:
            found.add(number)
            source = planned[number].branch
            if source is None or is_trained(planned[number]):
                break
            number = source.source
    return found


def _train(
    planned: Sequence[Planned],
    number: int,
    ready: Sequence[threading.Event],
    failed: dict[int, str],
    processes: Processes,
) -> None:
    run = planned[number]
    if is_trained(run):
        return
    if run.branch is not None and not checkpoints(run.folder / "checkpoints"):
        source = run.branch.source
        ready[source].wait()
        if processes.stopped.is_set():
            raise Stopped
        if source in failed:
            raise RunError(f"it branches off {planned[source].title}, which failed")
        branch(planned[source], run, run.branch.step)
    every = run.saved_every
    with counted(run.folder, "train"):
        processes.run(
            ["train", *run.settings, f"checkpoint.every_steps={every}",
             f"checkpoint.keep_last={run.run.train.steps // every + 1}"],
            run.folder / "train.log",
        )  # fmt: skip


def _evaluate(run: Planned, store: Path, evaluation: Evaluation, processes: Processes) -> dict:
    output = run.folder / "eval"
    arguments = eval_arguments(run.name, run.folder, store, output, evaluation)
    with counted(run.folder, "eval"):
        processes.run(arguments, run.folder / "eval.log")
    return read_json(output / "eval.json", "evaluate the run again")


def _seconds(folder: Path) -> dict[str, float]:
    path = folder / TIMES
    return read_json(path, f"remove {path}") if path.exists() else {}


@contextmanager
def counted(folder: Path, what: str) -> Iterator[None]:
    """Add the seconds of a block to those of a run; parts of one that was stopped count, too."""
    times = _seconds(folder)  # a damaged record is told before the hours, not after them
    begin = time.monotonic()
    try:
        yield
    finally:
        times[what] = round(times.get(what, 0.0) + time.monotonic() - begin, 1)
        write_whole(folder / TIMES, json.dumps(times).encode())
