"""`geo-nemo train --multirun`: the runs of a sweep on this machine, one after another.

All are checked before the first one starts; each then trains in a process of its own, as
`geo-nemo train` with its settings does, and one that is finished is passed over.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from geo_nemo.cli.children import handed_on
from geo_nemo.cli.codes import FAILED, MISTAKE, STOPPED
from geo_nemo.cli.plan_tables import print_plan
from geo_nemo.cli.progress import fetch_bar
from geo_nemo.common.files import check_folder
from geo_nemo.common.log import logger
from geo_nemo.common.parse import parse_json
from geo_nemo.config import Run, RunError, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.sweep import OUTPUT, check_apart, expand
from geo_nemo.runtime.launcher import world_size
from geo_nemo.runtime.signals import STOP_SIGNALS
from geo_nemo.train.checkpoint.files import checkpoints, read_record, shape_problem
from geo_nemo.train.ledger import NAME as LEDGER
from geo_nemo.train.plan import Assumptions, plan_prepared
from geo_nemo.train.run_record import earlier_sessions
from geo_nemo.train.setup import Prepared, check_fingerprint, prepare

LOG = logger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """A run of a sweep. name: its folder's, by what differs. settings: of `geo-nemo train`."""

    name: str
    settings: tuple[str, ...]
    prepared: Prepared
    is_finished: bool


def sweep(settings: Sequence[str], dry_run: bool = False) -> int:
    """Check every combination, then train those that are not finished; the exit code.

    A run that fails (1) lets the others go on, and is an error at the end; every other code but 0
    ends the sweep and is its own, so that a launcher takes the sweep for the run.
    """
    if (processes := world_size()) > 1:
        raise UserError(
            f"--multirun starts each run in one process of its own, and {processes} were started: "
            "leave out torchrun or srun, or take geo-nemo launch --multirun, a job a run"
        )
    members = [_check(each, dry_run) for each in expand(settings)]
    check_apart("--multirun", [member.prepared.run.output_dir for member in members])
    check_chips(members)
    if not dry_run:
        return train_all(members)
    for number, member in enumerate(members, 1):
        print(_title(number, members), "finished" if member.is_finished else "to train", sep=", ")
        print_plan(plan_prepared(member.prepared, 1, Assumptions()))
    return 0


def train_all(members: Sequence[Member]) -> int:
    """Train each in a process of its own; see `sweep`."""
    failed: list[str] = []
    with handed_on(*STOP_SIGNALS) as children:
        for number, member in enumerate(members, 1):
            title = _title(number, members)
            if member.is_finished:
                LOG.info(f"{title}: is finished, passed over")
                continue
            if children.asked is not None:
                asked = children.asked.name
                LOG.info(f"stopped by {asked} before {title}; the same command goes on there")
                return STOPPED
            LOG.info(title)
            process = children.start(_command(member.settings))
            process.wait()
            code = children.code(process)
            left = f"{len(members) - number} after it not begun"
            if code == MISTAKE:
                raise UserError(f"the sweep ends: {title}, is refused as said above; {left}")
            if code == FAILED:
                failed.append(member.name)
            elif code:
                LOG.info(f"the sweep ends: {title}, ended with code {code}; {left}")
                return code
    if failed:
        raise RunError(
            f"{len(failed)} of {len(members)} runs failed: {'; '.join(failed)}; the same command "
            "tries these again"
        )
    return 0


def check_chips(members: Sequence[Member]) -> None:
    """Raise `UserError` where this machine's device cannot compute as a run asks.

    In another process: this one would keep a part of the GPU's memory while the runs train.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found = pool.submit(_chip_problems, [member.prepared.run for member in members]).result()
    for member, problem in zip(members, found, strict=True):
        if problem:
            raise UserError(f"{member.name}: {problem}")


def _chip_problems(runs: Sequence[Run]) -> list[str]:
    """What is wrong with each, empty: nothing; runs in a process of its own."""
    from geo_nemo.runtime.chip import check_chip, chip_of
    from geo_nemo.runtime.device import resolve_device

    problems = []
    for run in runs:
        try:
            check_chip(run.precision, run.parallel, chip_of(resolve_device(run.device)))
            problems.append("")
        except UserError as error:
            problems.append(str(error))
    return problems


def _check(settings: tuple[str, ...], dry_run: bool) -> Member:
    """A run whose inputs are there and whose folder may serve; `UserError` names the run."""
    (output,) = (text for text in settings if text.startswith(f"{OUTPUT}="))
    name = Path(output.partition("=")[2].strip("'")).name
    try:
        run = load_config("train", Run, settings)
        with fetch_bar(run.data.store) as fetching:
            prepared = prepare(run, 1, fetching, tokens=not dry_run)
        check_folder(Path(run.output_dir))
        earlier_sessions(Path(run.output_dir))
        return Member(name, settings, prepared, is_finished(prepared))
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def is_finished(prepared: Prepared) -> bool:
    """Whether the run's last checkpoint and its ledger are there.

    By names and sizes; the content is not read. A run with `checkpoint.remote` counts as not
    finished: it looks itself whether all is copied. Raises `UserError` where the newest checkpoint
    is another run's.
    """
    run = prepared.run
    folder = Path(run.output_dir)
    found = checkpoints(folder / "checkpoints")
    if not found or shape_problem(found[-1]):
        return False
    record = read_record(found[-1])
    check_fingerprint(record["fingerprint"], prepared.fingerprint, found[-1])
    try:
        ledger = parse_json((folder / LEDGER).read_bytes())["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return run.checkpoint.remote is None and record["step"] == ledger == run.train.steps


def _command(settings: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "geo_nemo", "train", *settings]


def _title(number: int, members: Sequence[Member]) -> str:
    return f"run {number} of {len(members)}, {members[number - 1].name}"
