"""What was measured: a line of JSON a finished run, kept beside the experiment's file."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.experiment.plan import Planned
from benchmarks.experiment.schema import Experiment
from benchmarks.machine import machine_facts
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import read_bytes, write_whole
from geo_nemo.common.lock import waiting_lock
from geo_nemo.common.parse import parse_json
from geo_nemo.config.stage_sizes import taken_tokens

ROOT = Path(__file__).parents[2]
# What decides figures; a commit to documents or results is no other one.
CODE = ("geo_nemo", "data_prep", "eval", "recipes", "benchmarks/experiment")
SAME_DOCUMENTS = ("store_hash", "split", "scored", "title_tokens", "body_tokens")
Line = dict[str, Any]
Nats = dict[str, dict[str, float]]


class _Part(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class _Machine(_Part):
    cpu: str
    cores: int
    torch: str


class _Documents(_Part):
    store_hash: str
    split: str
    scored: int
    title_tokens: int
    body_tokens: int


class _Finished(_Part):
    """What a line has that tables, the page and the law rest on."""

    run: str
    seed: int
    key: str
    commit: str
    steps: int
    tokens: int
    parameters: int
    seconds: dict[str, float]
    machine: _Machine
    documents: _Documents
    nats: Nats
    nats_among: dict[str, Nats] = {}


def code_commit() -> str:
    """The last commit that changed the code, `+` behind it where files differ; empty: no git."""
    try:
        commit = _git("log", "-1", "--format=%H", "--", *CODE)
        return commit + "+" * bool(_git("status", "--porcelain", "--", *CODE))
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()


def read_lines(path: Path) -> list[Line]:
    """The lines of finished runs; none where there is no file. `UserError` for one that is none,
    or is of a run that another line tells of."""
    if not path.exists():
        return []
    lines: list[Line] = []
    numbers: dict[tuple[str, int], int] = {}
    content = read_bytes(path, "mend that or give another file")
    for number, text in enumerate(content.splitlines(), 1):
        try:
            line = parse_json(text)
            _Finished.model_validate(line)
        except ValidationError as error:
            first = error.errors()[0]
            what = ".".join(map(str, first["loc"])) or "no JSON object"
            raise UserError(
                f"{path}:{number} is no finished run ({what}): remove the line"
            ) from None
        except ValueError:
            raise UserError(f"{path}:{number} is no finished run: remove the line") from None
        other = numbers.setdefault((line["run"], line["seed"]), number)
        if other != number:
            raise UserError(
                f"{path}:{number} is of run {line['run']}, seed {line['seed']}, as line {other} "
                "is: remove one of them"
            )
        lines.append(line)
    return lines


def short(commit: str) -> str:
    """A commit as it is told: twelve digits, and the `+` of code that differs from it."""
    return commit.removesuffix("+")[:12] + "+" * commit.endswith("+") or "unknown"


def check_lines(path: Path, lines: Sequence[Line], commit: str, store_hash: str) -> None:
    """Raise `UserError` where finished runs are of another commit or store."""
    for line in lines:
        who, mend = _told_of(path, line)
        if line["commit"] != commit:
            raise UserError(
                f"{who} commit {short(line['commit'])}, and this code of {short(commit)}: {mend}"
            )
        if line["documents"]["store_hash"] != store_hash:
            raise UserError(f"{who} store {line['documents']['store_hash'][:12]}, and the "
                            f"experiment's is {store_hash[:12]}: {mend}")  # fmt: skip


def check_settings(path: Path, lines: Sequence[Line], planned: Sequence[Planned]) -> None:
    """Raise `UserError` where finished runs are of other settings."""
    keys = {(run.name, run.seed): run.key for run in planned}
    for line in lines:
        who, mend = _told_of(path, line)
        if keys.get((line["run"], line["seed"]), line["key"]) != line["key"]:
            raise UserError(f"{who} other settings than its name has now: rename it, or {mend}")


def _told_of(path: Path, line: Line) -> tuple[str, str]:
    """How a message about a finished run begins, and what mends it."""
    return (
        f"{path}: run {line['run']}, seed {line['seed']}, is of",
        f"give --results FILE for new ones, or move {path.name} away",
    )


def of_plan(lines: Sequence[Line], planned: Sequence[Planned]) -> list[Line]:
    """The lines of planned runs; others are of seeds or runs that the file does not name now."""
    names = {(run.name, run.seed) for run in planned}
    return [line for line in lines if (line["run"], line["seed"]) in names]


def check_evaluated(path: Path, lines: Sequence[Line], experiment: Experiment) -> None:
    """Raise `UserError` where finished runs lack figures that the file asks for, or were evaluated
    with other settings. A line of before these were kept tells none."""
    wanted = list(experiment.evaluation.settings)
    for line in lines:
        again = f"remove the line of run {line['run']}, seed {line['seed']}: it is evaluated again"
        if (settings := line.get("evaluation", wanted)) != wanted:
            raise UserError(
                f"{path}: evaluation.settings were {' '.join(settings)}, and are {' '.join(wanted)}"
                f" now: {again}"
            )
        if lacking := _lacking(experiment, line):
            raise UserError(f"{path}: there are no figures {lacking}: {again}")


def _lacking(experiment: Experiment, line: Line) -> str:
    """What of a run is not told that tables or claims are about, in words; empty: nothing."""
    part = experiment.evaluation.part
    for condition in experiment.evaluation.conditions:
        if part not in line["nats"].get(condition, {}):
            return f"of {part} under the condition {condition}"
    for claim in experiment.claims:
        found = line.get("nats_among", {}).get(claim.among, {}) if claim.among else line["nats"]
        for run, condition in claim.cells:
            if run == line["run"] and part not in found.get(condition, {}):
                return f"of {part} among {claim.among}, as the claim '{claim.says}' asks"
    return ""


def line_of(
    name: str, experiment: Experiment, run: Planned, evaluation: Mapping[str, Any], **facts: Any
) -> Line:
    """The line of a finished run. facts: seconds, commit, parameters and the like.

    Raises `UserError` where the evaluation has no figures that a claim is about.
    """
    cells = [
        cell for cell in evaluation["perplexity"]["cells"]
        if cell["run"] == run.name
    ]  # fmt: skip
    wanted = {claim.among for claim in experiment.claims}
    nats: dict[str, dict[str, float]] = {}
    among: dict[str, dict[str, dict[str, float]]] = {}
    for cell in cells:
        group = f"{cell['group']}={cell['name']}"
        plotted = cell["group"] == experiment.evaluation.plot_by
        if cell["group"] != "all" and group not in wanted and not plotted:
            continue
        found = nats if cell["group"] == "all" else among.setdefault(group, {})
        found.setdefault(cell["condition"], {})[cell["part"]] = cell["nats"]
    documents = evaluation["documents"]
    line = {
        "experiment": name,
        "run": run.name,
        "seed": run.seed,
        "settings": [*experiment.settings, *experiment.runs[run.name]],
        "evaluation": list(experiment.evaluation.settings),
        "key": run.key,
        "steps": run.run.train.steps,
        "tokens": taken_tokens(run.run, run.run.train.steps),
        "branched_at": run.branch.step if run.branch else 0,
        **facts,
        "machine": machine_facts(),
        "documents": {key: documents[key] for key in SAME_DOCUMENTS},
        "nats": nats,
        **({"nats_among": among} if among else {}),
    }
    if lacking := _lacking(experiment, line):
        there = ", ".join(sorted(among)) or "none"
        raise UserError(
            f"the evaluation of {run.title} has no figures {lacking} (there is {there}): change "
            "the file"
        )
    return line


def changing(path: Path) -> AbstractContextManager[None]:
    """Hold a file that other commands may change, too: they wait for the end of the block."""
    return waiting_lock(path.with_name(f".{path.name}.lock"), lambda: None)


def check_writable(path: Path) -> None:
    """Raise `UserError` where a file cannot be written, before the hours that fill it."""
    with changing(path):
        pass


def add_line(path: Path, line: Line) -> None:
    """Add a line to the file, which is whole or as before."""
    with changing(path):
        before = path.read_bytes() if path.exists() else b""
        write_whole(path, before + json.dumps(line).encode() + b"\n")


def check_same_documents(lines: Sequence[Line]) -> None:
    """Raise `UserError` where runs were scored on different documents."""
    for line in lines:
        for key in SAME_DOCUMENTS:
            if line["documents"][key] != lines[0]["documents"][key]:
                raise UserError(
                    f"runs {line['run']} and {lines[0]['run']} were scored on other documents "
                    f"({key}): evaluate them anew"
                )
