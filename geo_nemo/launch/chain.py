"""The jobs around a training of `geo-nemo launch`: whether each will find what it is to read.

What one of them refuses would else be known hours later, when the one before it has ended.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.config import Prep
from eval.config import EvalConfig, ReportConfig
from eval.models import folder_of
from geo_nemo.common.addresses import is_remote
from geo_nemo.config import UserError
from geo_nemo.config.launch import Slurm
from geo_nemo.config.load import load_config
from geo_nemo.launch.checks import (
    check_output,
    check_seen,
    check_shared,
    is_seen_here,
    split_words,
)
from geo_nemo.launch.jobs import Job, task_job


@dataclass(frozen=True, slots=True)
class Chain:
    """Settings of the jobs around a training; None: there is no such job."""

    prep: Prep | None = None
    evaluate: EvalConfig | None = None
    report: ReportConfig | None = None

    @property
    def store(self) -> str | None:
        """The token store that the preparation makes."""
        return None if self.prep is None else os.path.normpath(f"{self.prep.output}/store")


def read_chain(prep: str | None, evaluate: str | None, report: str | None) -> Chain:
    """The settings that are given to the jobs; raises UserError where a job would refuse them."""
    settings = evaluating = reporting = None
    if prep is not None:
        name, overrides = "prep", split_words("--prep", prep)
        if overrides and "=" not in overrides[0]:
            name, *overrides = overrides
        settings = load_config(name, Prep, overrides)
    if evaluate is not None:
        evaluating = load_config("eval", EvalConfig, split_words("--eval", evaluate))
    if report is not None:
        reporting = load_config("report", ReportConfig, split_words("--report", report))
    return Chain(settings, evaluating, reporting)


def chain_jobs(slurm: Slurm, chain: Chain) -> tuple[list[Job], list[Job]]:
    """The jobs before and behind the training.

    A report is claimed by no launch: it is a file that is written whole, in a folder of others.
    """
    before, behind = [], []
    if chain.prep is not None:
        words = ("prep", "run")
        prep = chain.prep
        named = _named("--prep", prep.output)
        before.append(task_job(slurm, "prep", slurm.prep, words, prep, prep.output, named))
    if chain.evaluate is not None:
        words = ("eval", "--config")
        config = chain.evaluate
        named = _named("--eval", config.output)
        behind.append(task_job(slurm, "eval", slurm.eval, words, config, config.output, named))
    if chain.report is not None:
        words = ("report", "--config")
        page = chain.report
        folder = os.path.dirname(page.output)
        behind.append(task_job(slurm, "report", slurm.report, words, page, folder))
    return before, behind


def _named(option: str, output: str) -> tuple[str, ...]:
    """The setting that names an output, which is claimed where this machine sees its disk."""
    return (f"{option} output={output}",) if is_seen_here(output) else ()


def check_prep(slurm: Slurm, prep: Prep) -> None:
    """Raise UserError for input that is not there, and folders that the job would not see."""
    from data_prep.read.files import list_inputs

    here = [source for source in prep.input if not is_remote(source.path)]
    for source in here:
        _check_job(slurm, "--prep", prep.output, {"input": source.path})
    try:
        list_inputs(here)
    except UserError as error:
        raise UserError(f"--prep: {error}") from None


def check_chain(slurm: Slurm, chain: Chain, trained: Sequence[str], waits: bool = False) -> None:
    """Raise UserError for paths that a job would not find, see or be able to write.

    trained: folders of the trainings. waits: for another job, which may make what is not there.
    """
    if chain.evaluate is not None:
        evaluation = chain.evaluate
        runs = {f"runs.{name}": folder_of(path) for name, path in evaluation.runs.items()}
        names = ("store", "corpus", "questions", "floors")
        others = {name: getattr(evaluation, name) for name in names}
        given = {key: path for key, path in others.items() if path is not None}
        _check_job(slurm, "--eval", evaluation.output, {**runs, **given})
        prepared = [] if chain.prep is None else [chain.prep.output]
        if not waits:
            _check_there("--eval", given, prepared)
            _check_there("--eval", runs, trained)
    if chain.report is not None:
        page = os.path.dirname(chain.report.output)
        _check_job(slurm, "--report", page or chain.report.output, {"eval": chain.report.eval})
        evaluated = [] if chain.evaluate is None else [chain.evaluate.output]
        if not waits:
            _check_there("--report", {"eval": chain.report.eval}, evaluated)


def _check_job(slurm: Slurm, option: str, output: str, inputs: dict[str, str]) -> None:
    for key, path in {"output": output, **inputs}.items():
        check_shared(slurm, f"{option} {key}", path)
    check_output(f"{option} output", output)
    check_seen(slurm, output, {f"{option} {key}": path for key, path in inputs.items()})


def _check_there(option: str, paths: dict[str, str], made: Sequence[str]) -> None:
    """made: folders that the jobs before it will have made."""
    places = [Path(os.path.normpath(folder)) for folder in made]
    for key, path in paths.items():
        whole = Path(os.path.normpath(path))
        if is_remote(path) or any(whole.is_relative_to(folder) for folder in places):
            continue
        if not whole.exists():
            told = f"the jobs before it make {places[0]}" if places else "no job makes it"
            raise UserError(
                f"{option} {key}={path} is not there, and {told}: give what is, or will be"
            )
