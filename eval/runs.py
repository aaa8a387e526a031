"""Training runs as the evaluation sees them: what they were trained on, and their checkpoint."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from geo_nemo.config import MetadataPolicy, Run, UserError
from geo_nemo.config.files import read_json
from geo_nemo.export.checkpoints import newest_whole

CHECKPOINT_RECORD = "geo_nemo.json"


@dataclass(frozen=True)
class TrainedRun:
    """A run directory whose records are read and checked; no weights are loaded.

    record: content of `run.json`. checkpoint: newest whole checkpoint. step: optimizer steps done.
    identity: changes whenever the checkpoint does.
    store_hash, tokenizer_sha256: of what it was trained on.
    """

    name: str
    folder: Path
    config: Run
    record: dict[str, Any]
    checkpoint: Path
    step: int
    identity: str
    store_hash: str
    tokenizer_sha256: str

    @property
    def conditioned(self) -> bool:
        """Whether any stage showed metadata."""
        return any(stage.metadata.fields for stage in self.config.stages.values())

    @property
    def policy(self) -> MetadataPolicy | None:
        """Policy of the first stage that showed metadata."""
        policies = (stage.metadata for stage in self.config.stages.values())
        return next((policy for policy in policies if policy.fields), None)


def read_run(name: str, folder: Path) -> TrainedRun:
    """The run in `folder`; UserError where it is no run or has no whole checkpoint yet."""
    if not folder.is_dir():
        raise UserError(f"runs.{name}={folder}: no such folder; give the output_dir of a training")
    record = read_json(folder / "run.json", f"give runs.{name}=DIR of a training run")
    try:
        config = Run.model_validate(record["config"])
    except (KeyError, TypeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder / 'run.json'}: no valid config in it ({reason})") from None
    newest = newest_whole(folder / "checkpoints")
    if newest is None:
        raise UserError(
            f"runs.{name}={folder} has no whole checkpoint in checkpoints/: train it to its end"
        )
    state = read_json(newest / CHECKPOINT_RECORD, "train the run again")
    try:
        step = int(state["step"])
        fingerprint = state["fingerprint"]
        hashes = str(fingerprint["store"]), str(fingerprint["tokenizer"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{newest / CHECKPOINT_RECORD} lacks {error}: train the run again"
        ) from None
    return TrainedRun(name, folder, config, record, newest, step, _identity(newest), *hashes)


def policies(
    runs: Mapping[str, TrainedRun], given: MetadataPolicy | None
) -> dict[str, MetadataPolicy]:
    """How metadata is shown to each run: as given, else as it was trained.

    A run that never saw metadata is shown it as the first run that did.
    """
    if given is not None:
        return dict.fromkeys(runs, given)
    first = next((run.policy for run in runs.values() if run.policy), MetadataPolicy())
    return {name: run.policy or first for name, run in runs.items()}


def _identity(checkpoint: Path) -> str:
    """Hash of the record and of name, size and time of every file; shards are too large to read."""
    digest = hashlib.sha256((checkpoint / CHECKPOINT_RECORD).read_bytes())
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        stat = path.stat()
        digest.update(
            f"{path.relative_to(checkpoint)} {stat.st_size} {stat.st_mtime_ns}\n".encode()
        )
    return digest.hexdigest()[:16]
