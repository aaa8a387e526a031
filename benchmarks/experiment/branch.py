"""A run that begins with another's checkpoint, where both have trained the same so far."""

import os
import shutil
from pathlib import Path

from benchmarks.experiment.plan import Planned, common_steps
from geo_nemo.common.errors import RunError
from geo_nemo.common.folders import building
from geo_nemo.train.checkpoint.files import (
    content_problem,
    listed_files,
    point_latest,
    read_record,
    write_record,
)


def branch(source: Planned, run: Planned, step: int) -> Path:
    """The checkpoint of `step` in the folder of `run`, made of that of `source`.

    Shards are linked, or copied where links cannot be. The record gets the fingerprint and the
    settings of `run`, which a resume then compares. Raises RunError where the source lacks it.
    """
    if common_steps(source, run) < step:
        raise RunError(f"{run.title} differs from {source.title} before step {step}")
    name = f"step_{step:08}"
    there = source.folder / "checkpoints" / name
    target = run.folder / "checkpoints" / name
    if target.exists():
        return target
    try:
        record = read_record(there)
        problem = content_problem(there)
    except (ValueError, OSError) as error:
        problem = str(error)
    if problem:
        raise RunError(f"{there}, from which {run.title} branches off, is not whole: {problem}")
    files = listed_files(record)
    del record["files"], record["format"]
    changed = {"fingerprint": run.fingerprint, "config": run.run.model_dump(mode="json")}
    with building(target) as partial:
        for file in files:
            _link(there / file, partial / file)
        write_record(partial, record | changed, files)
    point_latest(target.parent, target)
    return target


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
