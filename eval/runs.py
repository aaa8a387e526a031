"""Training runs as the evaluation sees them: what they were trained on, and their checkpoints."""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from eval.model import RUN_RECORD, Model
from eval.trained import trained
from geo_nemo.common.files import read_json
from geo_nemo.config import Run, UserError
from geo_nemo.export.checkpoints import newest_whole, of_step, whole_steps

CHECKPOINT_RECORD = "geo_nemo.json"


def read_run(name: str, folder: Path, step: int | None = None) -> Model:
    """The run in `folder` at its newest whole checkpoint, or at that of a step.

    Raises UserError where it is no run or has no such checkpoint.
    """
    record = read_json(folder / RUN_RECORD, f"give runs.{name}=DIR of a training run")
    try:
        config = Run.model_validate(record["config"])
    except (KeyError, TypeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder / RUN_RECORD}: no valid config in it ({reason})") from None
    checkpoint = _checkpoint(name, folder, step)
    state = read_json(checkpoint / CHECKPOINT_RECORD, "train the run again")
    try:
        done = int(state["step"])
        fingerprint = state["fingerprint"]
        hashes = str(fingerprint["store"]), str(fingerprint["tokenizer"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{checkpoint / CHECKPOINT_RECORD} lacks {error}: train the run again"
        ) from None
    return Model(
        name=name, folder=folder, kind="run", checkpoint=checkpoint.name, step=done,
        steps=config.train.steps, identity=_identity(checkpoint),
        seq_length=config.data.seq_length, stages=config.stages, store_hash=hashes[0],
        tokenizer_sha256=hashes[1], averaged=config.average.is_kept, store=config.data.store,
        groups=tuple(config.groups), trained=trained(config, record, done),
    )  # fmt: skip


def steps_of(name: str, folder: Path) -> list[int]:
    """Steps of a run's checkpoints, in order; `UserError` where it has none."""
    steps = whole_steps(folder / "checkpoints")
    if not steps:
        raise _none_whole(name, folder)
    return steps


def _checkpoint(name: str, folder: Path, step: int | None) -> Path:
    if step is None:
        newest = newest_whole(folder / "checkpoints")
        if newest is None:
            raise _none_whole(name, folder)
        return newest
    found = of_step(folder / "checkpoints", step)
    if found is None:
        there = ", ".join(map(str, steps_of(name, folder)))
        raise UserError(f"runs.{name}={folder}@{step}: no whole checkpoint of that step; "
                        f"there is {there}")  # fmt: skip
    return found


def _none_whole(name: str, folder: Path) -> UserError:
    return UserError(
        f"runs.{name}={folder} has no whole checkpoint in checkpoints/: train it to its end"
    )


def _identity(checkpoint: Path) -> str:
    """Hash of the record and of name, size and time of every file; shards are too large to read."""
    digest = hashlib.sha256((checkpoint / CHECKPOINT_RECORD).read_bytes())
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        stat = path.stat()
        digest.update(
            f"{path.relative_to(checkpoint)} {stat.st_size} {stat.st_mtime_ns}\n".encode()
        )
    return digest.hexdigest()[:16]
