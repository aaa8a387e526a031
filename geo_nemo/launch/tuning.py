"""A tuning before its job is submitted: what would make it fail on the nodes."""

import os
from importlib.util import find_spec
from pathlib import Path

from geo_nemo.config import UserError
from geo_nemo.config.launch import Slurm
from geo_nemo.config.tune import Tune
from geo_nemo.launch.checks import (
    check_device,
    check_output,
    check_seen,
    check_shared,
    check_time,
)
from geo_nemo.tune.run import Tuning, check_batch


def check_tuning(slurm: Slurm, config: Tune, waits: bool = False) -> None:
    """Raise `UserError` for what the tuning would refuse; records are read and tokenised.

    waits: for another job, which may make the model or the data.
    """
    inputs = [("model", config.model), *(("data", file.path) for file in config.data)]
    for key, path in (("output", config.output), *inputs):
        check_shared(slurm, key, path)
    check_output("output", config.output)
    # The job sees the folder in which its output gets its name.
    place = str(Path(config.output).parent)
    for key, path in inputs:
        check_seen(slurm, place, {key: path})
    check_time(slurm, {})
    check_device(slurm, config.device)
    check_batch(config, slurm.world_size)
    is_here = slurm.command is None and not slurm.container
    if is_here and any(find_spec(name) is None for name in ("trl", "peft")):
        raise UserError(
            "the job starts this installation, and tune needs TRL and PEFT: pip install "
            "'geo-nemo[tune]', or give slurm.container or slurm.command that has them"
        )
    if waits and not all(os.path.exists(path) for _, path in inputs):
        return
    # A login node may have what submits alone; the job looks again.
    if find_spec("transformers") is None:
        return
    tuning = Tuning(config)
    if tuning.is_done:
        raise UserError(f"output={config.output} is tuned already: give another output")
    tuning.check_begun()
