"""A Trainer with all that `geo-nemo train` watches a run by, for whoever trains from Python.

with process_groups(run.parallel, device, run.seed):
    build_trainer(run, [Mine()]).fit()
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from geo_nemo.common.files import make_folder
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Run
from geo_nemo.config.plugins import Kind
from geo_nemo.runtime.device import resolve_device
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.runtime.signals import StopRequest
from geo_nemo.train.callback import Callback
from geo_nemo.train.callbacks import (
    Accounting,
    Heartbeat,
    Loggers,
    Metrics,
    Profile,
    Validate,
    make_loggers,
)
from geo_nemo.train.callbacks.brought import Brought
from geo_nemo.train.callbacks.loggers.background import Background
from geo_nemo.train.callbacks.loggers.registry import check_loggers
from geo_nemo.train.engine import Engine
from geo_nemo.train.loop import Trainer
from geo_nemo.train.run_record import RunRecord, earlier_sessions
from geo_nemo.train.setup import Prepared, prepare

CALLBACKS = Kind("callback", "geo_nemo.callbacks", methods=("on_start", "on_step", "on_end"))


@dataclass(frozen=True)
class Context:
    """What a callback of `callbacks.use` is made with, before its options.

    output: the run's folder. log: hands numbers of the step that was just taken, by flat names of
    its own, to every logger.
    """

    prepared: Prepared
    engine: Engine
    output: Path
    log: Callable[[Mapping[str, float]], None]

    @property
    def run(self) -> Run:
        """The settings of the run."""
        return self.prepared.run


def build_trainer(
    run: Run | Prepared,
    callbacks: Sequence[Callback] = (),
    *,
    device: torch.device | None = None,
    progress: Progress = no_progress,
    stop: StopRequest | None = None,
    loggers: Sequence[Background] | None = None,
    processes: int | None = None,
) -> Trainer:
    """A trainer of `run`, within open process groups; every rank calls it.

    callbacks: stand before those of the run, and before those that its recipe names.
    loggers: see `open_loggers`. processes: of the run; None: as the launcher says.

    Raises `UserError` at the user's first mistake.
    """
    processes = processes or world_size()
    prepared = prepare(run, processes, progress) if isinstance(run, Run) else run
    run, output = prepared.run, Path(prepared.run.output_dir)
    device = device or resolve_device(run.device)
    loggers = open_loggers(run) if loggers is None else loggers
    trainer = Trainer(prepared, device, progress=progress, stop=stop)
    if rank() == 0:
        make_folder(output)
    heartbeat = output / "heartbeat.json"
    accounting = Accounting(prepared, heartbeat, lambda: trainer.left_out)
    first_start = rank() != 0 or not earlier_sessions(output)
    dashboards = Loggers(
        loggers, run.logging.names, must_open=first_start, outcome=lambda: trainer.outcome
    )
    made: list[Callback] = [*callbacks, *_validation(trainer, dashboards), accounting]
    made += [
        Metrics(
            output / "metrics.jsonl",
            run,
            prepared.groups,
            prepared.vocab_size,
            trainer.engine,
            accounting,
            dashboards,
        ),
        Heartbeat(heartbeat, run.health.heartbeat_seconds, run.train.steps, accounting),
        *_brought(trainer, dashboards),
        # Behind those that measure.
        dashboards,
        # A run that nothing of the above refuses.
        RunRecord(prepared, processes),
    ]
    if run.logging.profile is not None:
        # The last, so that the others' work in these steps is in the trace.
        made.append(Profile(output / "profile", run.logging.profile, trainer.engine))
    trainer.callbacks = made
    return trainer


def open_loggers(run: Run) -> list[Background]:
    """The loggers of a run, on rank 0; `UserError` where one is missing or refuses."""
    if rank() != 0:
        return []
    return make_loggers(run.logging, Path(run.output_dir), run.name, run.model_dump())


def check_brought(run: Run) -> None:
    """Raise `UserError` where a callback or a logger of the recipe is none, or does not import."""
    for name in run.callbacks.use:
        CALLBACKS.get(name, "callbacks.use")
    check_loggers(run.logging)


def _validation(trainer: Trainer, dashboards: Loggers) -> list[Callback]:
    run = trainer.run
    if run.validation.every_steps is None:
        return []
    weights: Callable[[], AbstractContextManager[None]] = nullcontext
    if run.validation.weights == "average" and trainer.average is not None:
        weights = trainer.average.applied
    path = Path(run.output_dir) / "validation.jsonl"
    return [Validate(path, trainer.prepared, trainer.engine, dashboards, weights)]


def _brought(trainer: Trainer, dashboards: Loggers) -> list[Callback]:
    """The callbacks that the recipe names, in its order."""
    asked, output = trainer.run.callbacks, Path(trainer.run.output_dir)
    made: list[Callback] = []
    for name in asked.use:
        log = partial(dashboards.add_for, name)
        context = Context(trainer.prepared, trainer.engine, output, log)
        callback = CALLBACKS.make(
            name, "callbacks.use", context, options=asked.options.get(name, {})
        )
        made.append(Brought(name, callback))
    return made
