"""A training as its settings tell it, for adapters whose configs must be plain values.

NeMo and NeMo-Run write their configs down and read them back in another process. Settings are what
`geo-nemo train` takes (experiment=..., key=value), so nothing else needs to be written.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from geo_nemo.common.files import make_folder, read_json, write_whole
from geo_nemo.config import Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.stage_sizes import have_own_sizes
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.checkpoint.changes import changed_settings
from geo_nemo.train.setup import Prepared, prepare

RECORD = "geo_nemo.json"


def load_run(settings: Sequence[str]) -> Run:
    """The run that `geo-nemo train SETTINGS` would train."""
    return load_config("train", Run, tuple(settings))


@lru_cache(maxsize=4)
def _prepared(settings: tuple[str, ...], processes: int) -> Prepared:
    run = load_run(settings)
    if have_own_sizes(run) or any(stage.parallel for stage in run.stages.values()):
        raise UserError(
            "stages with a seq_length, a batch size or a layout of their own are for geo-nemo "
            "train alone: leave them out"
        )
    return prepare(run, processes)


def load_job(settings: Sequence[str]) -> Prepared:
    """The run with its store open and everything checked; opened once in a process."""
    return _prepared(tuple(settings), world_size())


def refuse_changed(saved: Mapping[str, str], job: Prepared, place: str) -> None:
    """Raise `UserError` where checkpoints were made of something else than the run is.

    saved: the fingerprint then. place: where they are, in words.
    """
    if changed := changed_settings(saved, job.fingerprint):
        raise UserError(
            f"{place} was made with other settings: {', '.join(changed)} differ; give those of the "
            "run, or another output_dir"
        )


def keep_to_settings(job: Prepared, folder: Path, checkpoints: str) -> None:
    """Note in `folder` of what its checkpoints are made; `UserError` where they are of other.

    For a trainer whose checkpoints do not keep it. checkpoints: a pattern of their names.
    """
    record = folder / RECORD
    if record.exists() and any(folder.glob(checkpoints)):
        saved = read_json(record, "give another output_dir")
        refuse_changed(saved, job, f"the checkpoint in {folder}")
    elif rank() == 0:
        make_folder(folder)
        write_whole(record, json.dumps(job.fingerprint, indent=1).encode())


def refuse_inexact(per_token: object, average_in_collective: object) -> None:
    """Raise `UserError` unless gradients are sums, divided once by the count of trained tokens.

    per_token: calculate_per_token_loss of the model's config. average_in_collective: of DDP's.
    """
    if per_token is not True:
        raise UserError(
            f"calculate_per_token_loss is {per_token}: with masked metadata the default is a mean "
            "of means, which trains another objective; set calculate_per_token_loss=True in the "
            "model's config"
        )
    if average_in_collective:
        raise UserError(
            "average_in_collective is True in the DDP config: it divides sums of gradients by the "
            "ranks before they are divided by the tokens; set average_in_collective=False"
        )


def refuse_unserved(run: Run, trainer: str) -> None:
    """Raise `UserError` for settings that only this project's own trainer keeps to."""
    own = {
        "parallel.virtual_pipeline": run.parallel.virtual_pipeline > 1,
        "average.kind": run.average.is_kept,
        "validation.every_steps": run.validation.every_steps is not None,
        "init": run.init is not None,
        "stages.*.metadata.loss_weights": run.weighs_tokens,
        "stages.*.metadata.meta_tokens": run.meta_tokens > 0,
        "stages.*.token_selection": any(s.token_selection for s in run.stages.values()),
        "model.group_embedding": run.model.group_embedding,
        "callbacks.use": bool(run.callbacks.use),
        # Whatever it has beside the type: FP8, moments.
        "precision": run.precision != type(run.precision)(dtype=run.precision.dtype),
    }
    for key, given in own.items():
        if given:
            raise UserError(
                f"what {key} asks for is served by geo-nemo train alone, not by {trainer}: leave "
                "it out"
            )
    if run.parallel.pipeline > 1 and run.train.micro_batch_size > 1:
        raise UserError(
            f"train.micro_batch_size {run.train.micro_batch_size} under parallel.pipeline: "
            f"{trainer} sends sequences apart, and a micro-batch is one packed sequence; give 1"
        )
