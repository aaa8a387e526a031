"""What the report is made of, read and checked: evaluation, runs and store."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.config import ReportConfig
from eval.runner import FORMAT, RECORD
from geo_nemo.common.addresses import is_remote
from geo_nemo.common.files import read_json
from geo_nemo.common.parse import parse_json
from geo_nemo.common.seal import check_seal
from geo_nemo.config import UserError
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import Manifest

LEDGER = "ledger.json"
CHECKPOINT_RECORD = "geo_nemo.json"
AGAIN = "run the same geo-nemo eval again, which scores nothing anew"
# What every version has written.
NEEDED = ("config", "conditions", "runs", "documents", "perplexity", "floor", "questions")


@dataclass(frozen=True)
class RunInput:
    """One training run: `run.json`, and the lines of `metrics.jsonl` up to the step that was
    evaluated; empty where it has none.

    ledger: of the step that was evaluated, None where the run has none of it.
    """

    name: str
    folder: Path
    record: dict[str, Any]
    metrics: list[dict[str, Any]]
    ledger: dict[str, Any] | None = None


@dataclass(frozen=True)
class Inputs:
    """Everything that the page shows.

    runs: the training runs among what was evaluated. store: None where texts came from a corpus.
    """

    config: ReportConfig
    evaluation: dict[str, Any]
    runs: dict[str, RunInput]
    store: TokenStore | None

    @property
    def manifest(self) -> Manifest | None:
        return None if self.store is None else self.store.manifest


def read_inputs(config: ReportConfig) -> Inputs:
    """Read it all; UserError that names the file which is missing or damaged."""
    evaluation = read_evaluation(Path(config.eval))
    trained = {n: run for n, run in evaluation["runs"].items() if run.get("kind", "run") == "run"}
    folders = config.runs or {n: run["folder"] for n, run in trained.items()}
    unknown = sorted(set(folders) ^ set(trained))
    if unknown:
        raise UserError(
            f"runs: {', '.join(unknown)} is not in both the report and the evaluation of "
            f"{', '.join(trained)}"
        )
    runs = {
        name: _of_step(read_run(name, Path(folders[name])), about)
        for name, about in trained.items()
    }
    return Inputs(config, evaluation, runs, _store(config, evaluation))


def _of_step(run: RunInput, about: dict[str, Any]) -> RunInput:
    """The run up to the step that was evaluated: it may have been trained further."""
    metrics = [
        line for line in run.metrics if line.get("steps_done", line["step"]) <= about["step"]
    ]
    return replace(run, metrics=metrics, ledger=read_ledger(run.folder, about))


def read_evaluation(folder: Path) -> dict[str, Any]:
    """The content of `eval.json` in an output folder of geo-nemo eval."""
    evaluation = read_json(folder / RECORD, "make it with geo-nemo eval")
    if evaluation.get("format") != FORMAT:
        raise UserError(
            f"{folder}/eval.json has format {evaluation.get('format')}, not {FORMAT}: "
            f"run geo-nemo eval again"
        )
    check_seal(folder / RECORD, evaluation, AGAIN)
    missing = [key for key in NEEDED if key not in _renamed(evaluation)]
    if missing:
        raise UserError(f"{folder}/eval.json lacks {missing[0]}: run geo-nemo eval again")
    return _renamed(evaluation)


def _renamed(value: Any) -> Any:
    """What an older version wrote, in today's words: an arm is a condition."""
    if isinstance(value, dict):
        words = {"arm": "condition", "arms": "conditions"}
        return {words.get(key, key): _renamed(of) for key, of in value.items()}
    return [_renamed(each) for each in value] if isinstance(value, list) else value


def _store(config: ReportConfig, evaluation: dict[str, Any]) -> TokenStore | None:
    if config.store is None and "store" not in evaluation["documents"]:
        return None
    place = config.store or evaluation["documents"]["store"]
    if config.store is None and not is_remote(place) and not Path(place).exists():
        raise UserError(f"the store that was evaluated, {place}, is not there: give store=STORE")
    store = TokenStore.open(place)
    if store.hash != evaluation["documents"]["store_hash"]:
        raise UserError(
            f"store {store.root} is not the one that was evaluated: give store=, or evaluate again"
        )
    return store


def read_run(name: str, folder: Path) -> RunInput:
    """A run's records. A last line of the metrics that a kill cut off is left out."""
    record = read_json(folder / "run.json", f"give runs.{name}=DIR of a training run")
    metrics = []
    path = folder / "metrics.jsonl"
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        try:
            metrics.append(dict(parse_json(line)))
        except (ValueError, TypeError):
            if number < len(lines):
                raise UserError(f"{path} is damaged: line {number} is no JSON object") from None
    return RunInput(name, folder, record, metrics)


def read_ledger(folder: Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """The ledger of the checkpoint that was evaluated: of the run's end, or of the checkpoint.

    None where the run kept none at that step. Raises `UserError` for a file that is damaged.
    """
    paths = (
        folder / LEDGER,
        folder / "checkpoints" / str(about.get("checkpoint")) / CHECKPOINT_RECORD,
    )
    for path in paths:
        if not path.exists():
            continue
        found = read_json(path, "train the run again, or move the file away")
        found = found.get("ledger", {}) if path.name == CHECKPOINT_RECORD else found
        if found.get("step") == about["step"] and "stages" in found:
            return found
    return None
