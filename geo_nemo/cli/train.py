"""`geo-nemo train`: validate, then train from where the newest checkpoint stands."""

import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geo_nemo.cli.codes import STOPPED
from geo_nemo.cli.options import OVERRIDES, DryRun, RunConfig, quiet_libraries
from geo_nemo.cli.plan_tables import print_plan
from geo_nemo.cli.progress import fetch_bar, progress_bar
from geo_nemo.common.files import check_folder
from geo_nemo.common.imports import quick_imports
from geo_nemo.common.lock import folder_lock
from geo_nemo.common.log import logger
from geo_nemo.common.progress import no_progress
from geo_nemo.config import Run, RunError, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.stage_bounds import different_texts
from geo_nemo.config.sweep import expand
from geo_nemo.config.whole import as_json, as_yaml, whole_config
from geo_nemo.runtime.caches import keep_caches_writable
from geo_nemo.runtime.launcher import adopt_slurm_step, in_a_job, rank, world_size
from geo_nemo.runtime.lost import LostRankError, lost_ranks_in_a_line
from geo_nemo.runtime.sharing import share
from geo_nemo.train.ending import Ending
from geo_nemo.train.plan import Assumptions, Plan, plan_prepared
from geo_nemo.train.run_record import earlier_sessions
from geo_nemo.train.setup import Prepared, prepare, shared_settings

if TYPE_CHECKING:
    import torch

LOG = logger(__name__)

RANK_ZERO_SPEAKS_S = 5.0
# A rank that only lost another leaves the word to that one, which may be such that waits.
LOST_WAITS_S = 2 * RANK_ZERO_SPEAKS_S
WATCHDOG_FIRST_MINUTES = 2
# An NFS server gives a client 90 s to be heard again, and as long once more after its own restart.
LOCK_KEPT_S = 200.0


@click.command(
    epilog="Example: geo-nemo train experiment=demo data.store=S output_dir=runs/a\n\n"
    "A sweep: geo-nemo train --multirun experiment=demo data.store=S output_dir=runs/s "
    "train.lr=1e-3,3e-3"
)
@OVERRIDES
@DryRun
@RunConfig
@click.option(
    "--cfg",
    type=click.Choice(["job", "json"]),
    help="Print the whole config, as YAML (job) or as JSON for --config, and do no more.",
)
@click.option(
    "--multirun",
    is_flag=True,
    help="A run for each combination of KEY=A,B, below output_dir, one after another.",
)
def command(
    overrides: tuple[str, ...],
    dry_run: bool,
    config: str | None,
    cfg: str | None,
    multirun: bool,
) -> int:
    """Pre-train as the recipe says: conditioning stage, then cooldown.

    Run it again with the same settings to go on after a stop or a crash. Under torchrun or srun,
    each process takes its place in the layout.
    """
    name = config or "train"
    if multirun and config:
        raise click.UsageError("give --config or --multirun")
    if cfg:
        every = expand(overrides) if multirun else [overrides]
        as_text, between = (as_yaml, "---\n") if cfg == "job" else (as_json, "")
        shown = (as_text(whole_config(settings, name)) for settings in every)
        click.echo(between.join(shown), nl=False)
        return 0
    adopt_slurm_step()
    first = rank() == 0
    try:
        if multirun:
            from geo_nemo.cli.sweep import sweep

            return sweep(overrides, dry_run)
        run = load_config(name, Run, overrides)
        if first and (other := different_texts(run)):
            LOG.warning(other)
        with fetch_bar(run.data.store, first) as fetching:
            prepared = prepare(run, world_size(), fetching, tokens=not dry_run)
        if not dry_run:
            return train(prepared, world_size())
        quiet_libraries()
        from geo_nemo.runtime.device import prepare_megatron, resolve_device

        check_folder(Path(run.output_dir))
        device = resolve_device(run.device)
        prepare_megatron(device)
        from geo_nemo.train.build import check_brought

        check_brought(run)
        _check_chip(run, device, first)
        if first:
            print_plan(_plan_here(prepared, on_gpu=device.type == "cuda"))
        return 0
    except LostRankError:
        time.sleep(LOST_WAITS_S)
        raise
    except (UserError, RunError):
        if not first:
            # Most often every rank has the same to say. A launcher ends the job when rank 0 has
            # said it and ended; where rank 0 has nothing to say, this rank speaks.
            time.sleep(RANK_ZERO_SPEAKS_S)
        raise


def _check_chip(run: Run, device: "torch.device", first: bool) -> None:
    """Refuse what the device cannot compute; the first rank tells what it computes slowly."""
    from geo_nemo.runtime.chip import check_chip, chip_of, slow_precision

    chip = chip_of(device)
    check_chip(run.precision, run.parallel, chip)
    if first and (slow := slow_precision(run.precision, chip)):
        LOG.warning(slow)


def _plan_here(prepared: Prepared, on_gpu: bool) -> Plan:
    """The plan for the device that the run takes here; of a CPU no peak and no memory is known."""
    run = prepared.run.model_copy(update={"device": "gpu" if on_gpu else "cpu"})
    assumed = Assumptions() if on_gpu else Assumptions(chip=None)
    return plan_prepared(replace(prepared, run=run), world_size(), assumed)


def train(prepared: Prepared, processes: int) -> int:
    """Train in this process; 0 when the run is finished, `STOPPED` after a stop request."""
    quiet_libraries()
    keep_caches_writable()
    with quick_imports():
        from geo_nemo.runtime.device import (
            allow_only_deterministic,
            keep_launch_order,
            prepare_megatron,
            resolve_device,
        )
        from geo_nemo.runtime.distributed import model_parallel, world
        from geo_nemo.runtime.gpu import check_gpu
        from geo_nemo.runtime.signals import announce, nobody, stop_deadline, stop_on_signal
        from geo_nemo.train.collectives import check_same, check_same_settings

    run = prepared.run
    keep_launch_order(run.parallel)
    device = resolve_device(run.device)
    check_gpu(device, processes)
    first = rank() == 0
    _check_chip(run, device, first)
    if run.deterministic:
        allow_only_deterministic(device)
    output = Path(run.output_dir)
    with ExitStack() as stack:
        ending = Ending(run)
        share(run.sharing, output, first)
        if first:
            # A job that SLURM has started again may find the lock of a node that died.
            stack.enter_context(folder_lock(output, LOCK_KEPT_S if in_a_job() else 0.0))
            earlier_sessions(output)  # refuses what is no run's folder
        stack.enter_context(ending)
        # They import Megatron-Core, which on a CPU must not find Transformer Engine.
        with quick_imports():
            prepare_megatron(device)
            from geo_nemo.train.build import build_trainer, open_loggers
            from geo_nemo.train.callbacks import ProgressBar, Watch

        loggers = open_loggers(run)
        progress = stack.enter_context(progress_bar()) if first else no_progress
        # The watchdog speaks first: it knows where each thread stands.
        patience = timedelta(minutes=run.health.hang_minutes + WATCHDOG_FIRST_MINUTES)
        stack.enter_context(world(device, patience))
        # Each has asked for it: one on s3:// may have changed in between.
        check_same("the hash of data.store", prepared.store.hash)
        # Before the groups, which other layouts would wait in for each other.
        check_same_settings(shared_settings(prepared))
        stack.enter_context(model_parallel(run.parallel, run.seed, patience))
        # Not before: a rank that waits for the others to join must end when the launcher ends it.
        deadline = stop_deadline(run.health)
        stop = stack.enter_context(stop_on_signal(announce if first else nobody, deadline))
        # Once more: it comes before the end of the process groups, which may wait for other ranks.
        stack.push(ending)
        watch = stack.enter_context(Watch(output, run.health.hang_minutes, ending.hung))
        trainer = build_trainer(
            prepared,
            [ending, watch, ProgressBar(run.name, run.train.steps, progress)],
            device=device,
            progress=watch.through(progress),
            stop=stop,
            loggers=loggers,
            processes=processes,
        )
        with lost_ranks_in_a_line():
            finished = trainer.fit()
        ending.finished, ending.asked = finished, trainer.reason
        ending.reason = trainer.boundary or stop.reason
    if finished:
        return 0
    if first:
        at = f"at step {trainer.step} of {run.train.steps}"
        line = f"stopped by {stop.reason} {at}; saved. The same command goes on from there"
        if trainer.boundary:
            line = f"saved {at}: {trainer.boundary}. The same command goes on in it"
        if trainer.reason:
            line = f"stopped {at}, and saved: {trainer.reason}"
        LOG.info(line)
    return 0 if trainer.reason else STOPPED
