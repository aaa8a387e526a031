"""What was measured: a line of JSON a finished run, kept beside the experiment's file."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.experiment.plan import Planned
from benchmarks.experiment.schema import Experiment
from benchmarks.machine import machine_facts
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import write_whole
from geo_nemo.common.lock import waiting_lock
from geo_nemo.common.parse import parse_json
from geo_nemo.config.stage_sizes import taken_tokens
from geo_nemo.store import TokenStore

ROOT = Path(__file__).parents[2]
# What decides figures; a commit to documents or results is no other one.
CODE = ("geo_nemo", "data_prep", "eval", "recipes", "benchmarks/experiment")
SAME_DOCUMENTS = ("store_hash", "split", "scored", "title_tokens", "body_tokens")
Line = dict[str, Any]


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
    """The lines of finished runs; none where there is no file. `UserError` for one that is none."""
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = parse_json(text)
            line["run"], line["seed"], line["key"], line["commit"], line["nats"]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}:{number} is no finished run: remove the line") from None
        lines.append(line)
    return lines


def check_lines(
    path: Path, lines: Sequence[Line], planned: Sequence[Planned], commit: str, store_hash: str
) -> None:
    """Raise `UserError` where finished runs are of another commit, store or other settings."""
    keys = {(run.name, run.seed): run.key for run in planned}
    for line in lines:
        who = f"{path}: run {line['run']}, seed {line['seed']}, is of"
        mend = f"give --results FILE for new ones, or move {path.name} away"
        if line["commit"] != commit:
            raise UserError(
                f"{who} commit {line['commit'][:12] or 'unknown'}, and this code of "
                f"{commit[:12] or 'unknown'}: {mend}"
            )
        if line["documents"]["store_hash"] != store_hash:
            raise UserError(f"{who} store {line['documents']['store_hash'][:12]}, and the "
                            f"experiment's is {store_hash[:12]}: {mend}")  # fmt: skip
        key = keys.get((line["run"], line["seed"]))
        if key is not None and key != line["key"]:
            raise UserError(f"{who} other settings than its name has now: rename it, or {mend}")


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


def check_among(experiment: Experiment, store: TokenStore) -> None:
    """Raise `UserError` where a claim is about texts that the store has none of."""
    there = {"continent": store.continents, "country": store.countries}
    for claim in experiment.claims:
        field, _, name = (claim.among or "").partition("=")
        if field in there and name not in there[field]:
            raise UserError(
                f"the claim '{claim.says}' is among {claim.among}, and the store has "
                f"{', '.join(there[field])}: give one of them"
            )


def changing(path: Path) -> AbstractContextManager[None]:
    """Hold a file that other commands may change, too: they wait for the end of the block."""
    return waiting_lock(path.with_name(f".{path.name}.lock"), lambda: None)


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
