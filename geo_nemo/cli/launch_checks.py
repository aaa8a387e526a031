"""What `geo-nemo launch` can know before it submits, and would else show on the nodes alone."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from geo_nemo.config import Run, UserError
from geo_nemo.config.launch import Slurm
from geo_nemo.config.load import load_config
from geo_nemo.config.remote import is_remote

FASTEST_CHIP = "B200"
# Folders that each node has for itself.
OF_ONE_NODE = ("/tmp", "/dev/shm", "/var/tmp", "/run")


def check_training(slurm: Slurm, settings: Sequence[str], store_is_there: bool = True) -> Run:
    """Raise UserError for what would make the training fail on the nodes."""
    from geo_nemo.model.layout import check_layout
    from geo_nemo.store.remote import read_remote_manifest
    from geo_nemo.train.setup import prepare

    run = load_config("train", Run, settings)
    remote = is_remote(run.data.store)
    inputs = {"data.store": run.data.store}
    if run.init is not None:
        inputs["init.checkpoint"] = run.init.checkpoint
    inputs = {key: path for key, path in inputs.items() if not is_remote(path)}
    for key, path in {"output_dir": run.output_dir, **inputs}.items():
        _check_shared(slurm, key, path)
    for key, path in inputs.items():
        if slurm.container and not _within(path, [run.output_dir, *slurm.mounts]):
            raise UserError(
                f"the container would not see {key}={path}: add its folder, "
                f"slurm.mounts=[{Path(path).parent}]"
            )
    if slurm.minutes <= run.health.margin_minutes + slurm.signal_seconds / 600:
        raise UserError(
            f"slurm.time={slurm.time} leaves no time to train before the save: the run stops "
            f"{run.health.margin_minutes:g} minutes (health.margin_minutes) before the end"
        )
    if run.device == "gpu" and not slurm.gpus_per_node:
        raise UserError("device=gpu, but slurm.gpus_per_node=0")
    if remote and store_is_there:
        # Its nodes fetch it; here its manifest tells what the layout must fit.
        manifest, _ = read_remote_manifest(run.data.store)
        vocab_size = manifest.tokenizer.vocab_size
        check_layout(run, vocab_size, slurm.world_size)
    elif store_is_there:
        vocab_size = prepare(run, slurm.world_size).tokenizer.vocab_size
    else:
        # Any vocabulary is padded to a multiple of this one.
        vocab_size = run.model.make_vocab_size_divisible_by
        check_layout(run, vocab_size, slurm.world_size)
    if slurm.gpus_per_node:
        _check_walltime(slurm, run, vocab_size)
    return run


def check_slurm(slurm: Slurm) -> None:
    """Raise UserError for files of the job that are not there."""
    image = slurm.container
    for key, path in (("slurm.container", image), ("slurm.env_file", slurm.env_file)):
        # Not an address, and not a name in a registry.
        if path and "://" not in path and "#" not in path:
            _check_shared(slurm, key, path)
    if image and "://" not in image and "#" not in image and not Path(image).exists():
        raise UserError(f"slurm.container={image}: no such image")
    if image and slurm.runtime == "none":
        raise UserError("slurm.runtime=none, but slurm.container names an image")
    if slurm.env_file:
        file = Path(slurm.env_file)
        if not file.is_file():
            raise UserError(f"slurm.env_file={file}: no such file")
        if file.stat().st_mode & 0o077:
            raise UserError(f"slurm.env_file={file} can be read by others: chmod 600 {file}")


def check_others(prep: str | None, evaluate: str | None, report: str | None) -> None:
    """Raise UserError for settings that the jobs around the training would refuse, hours later."""
    from data_prep.config import Prep
    from eval.config import EvalConfig, ReportConfig

    if prep:
        name, overrides = "prep", shlex.split(prep)
        if overrides and "=" not in overrides[0]:
            name, *overrides = overrides
        load_config(name, Prep, overrides)
    if evaluate:
        load_config("eval", EvalConfig, shlex.split(evaluate))
    if report:
        load_config("report", ReportConfig, shlex.split(report))


def _check_walltime(slurm: Slurm, run: Run, vocab_size: int) -> None:
    """Raise UserError where not even one step fits before the save, on the fastest chip there is.

    Every start would then end as it began, and the job would be requeued in vain.
    """
    from geo_nemo.train.plan import Assumptions, make_plan

    time = make_plan(run, vocab_size, slurm.world_size, Assumptions(FASTEST_CHIP, mfu=1.0)).time
    left = slurm.minutes - run.health.margin_minutes
    if time is not None and time.seconds_per_step > 60 * left:
        raise UserError(
            f"slurm.time={slurm.time} leaves {left:.1f} minutes before the save "
            f"(health.margin_minutes={run.health.margin_minutes:g}), and a step takes "
            f"{time.seconds_per_step / 60:.1f} at the very least: give more time or more GPUs"
        )


def _check_shared(slurm: Slurm, key: str, path: str) -> None:
    if not path.startswith("/"):
        raise UserError(f"{key}={path} is not absolute: a job starts in another folder")
    if slurm.nodes > 1 and path.startswith(tuple(f"{folder}/" for folder in OF_ONE_NODE)):
        raise UserError(f"{key}={path}: each node has a folder of its own there; give a shared one")


def _within(path: str, mounts: Sequence[str]) -> bool:
    folders = [Path(mount.partition(":")[2].partition(":")[0] or mount) for mount in mounts]
    return any(Path(path).is_relative_to(folder) for folder in folders)
