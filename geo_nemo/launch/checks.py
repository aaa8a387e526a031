"""What `geo-nemo launch` can know before it submits, and would else show on the nodes alone."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from geo_nemo.common.addresses import is_remote
from geo_nemo.config import Run, UserError
from geo_nemo.config.launch import Slurm
from geo_nemo.config.load import load_config

# The one with most memory, too: what is too much for it is too much for every other.
FASTEST_CHIP = "B200"
# As many as the recipes' nodes have.
GPUS_OF_A_NODE = 8
# Folders that each node has for itself.
OF_ONE_NODE = ("/tmp", "/dev/shm", "/var/tmp", "/run")
# Less than any start takes: the checks of the nodes, and imports.
START_MINUTES = 1.0


def split_words(where: str, text: str) -> list[str]:
    """The words of a line as a shell has them; where: whose line it is."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(
            f"{where}: {str(error).lower()} in {text[:80]}: quote it as a shell"
        ) from None


def check_training(
    slurm: Slurm, settings: Sequence[str], made: str | None = None, waits: bool = False
) -> Run:
    """Raise UserError for what would make the training fail on the nodes.

    made: the store that a job before it makes. waits: for another job, which may make the store.
    """
    from geo_nemo.store.remote import read_remote_manifest
    from geo_nemo.train.setup import prepare

    run = load_config("train", Run, settings)
    _check_secrets(run)
    inputs = {"data.store": run.data.store}
    if run.init is not None:
        inputs["init.checkpoint"] = run.init.checkpoint
    for name, stage in run.stages.items():
        if stage.token_selection is not None:
            inputs[f"stages.{name}.token_selection"] = stage.token_selection
    if run.data.index_dir is not None:
        # In a container that does not see it each node would have one of its own.
        inputs["data.index_dir"] = run.data.index_dir
    for key, path in {"output_dir": run.output_dir, **inputs}.items():
        check_shared(slurm, key, path)
    check_output("output_dir", run.output_dir)
    check_seen(slurm, run.output_dir, inputs)
    check_time(slurm, {"health.margin_minutes": run.health.margin_minutes})
    check_device(slurm, run.device)
    absent = not is_remote(run.data.store) and not Path(run.data.store).exists()
    if os.path.normpath(run.data.store) == made or (waits and absent):
        # Any vocabulary is padded to a multiple of this one.
        vocab_size = run.model.make_vocab_size_divisible_by
        _check_stages(run, vocab_size, slurm.world_size)
    elif made is not None and absent:
        raise UserError(
            f"data.store={run.data.store} is not there, and --prep makes another: give "
            f"data.store={made}, or another output to --prep"
        )
    elif is_remote(run.data.store):
        # Its nodes fetch it; here its manifest tells what the layout must fit.
        manifest, _ = read_remote_manifest(run.data.store)
        vocab_size = manifest.tokenizer.vocab_size + run.meta_tokens
        _check_stages(run, vocab_size, slurm.world_size)
    else:
        vocab_size = prepare(run, slurm.world_size).vocab_size
    if slurm.gpus_per_node:
        _check_chips(slurm, run, vocab_size)
    return run


def check_device(slurm: Slurm, device: str) -> None:
    """Raise UserError for a GPU of a job that asks for none."""
    if device == "gpu" and not slurm.gpus_per_node:
        raise UserError("device=gpu, but slurm.gpus_per_node=0: take slurm=node, or device=cpu")


def _check_stages(run: Run, vocab_size: int, processes: int) -> None:
    from geo_nemo.train.setup import check_stage

    for stage in run.stages:
        check_stage(run, stage, vocab_size, processes)


def _check_secrets(run: Run) -> None:
    """Raise UserError for a password among the settings: the job's file is kept, without it."""
    kept = Run.model_validate(run.model_dump(mode="json"))
    if kept.logging != run.logging:
        raise UserError(
            "a setting of logging holds a password, which no file of the job may keep: put it into "
            "slurm.env_file (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD), and the address "
            "here without it"
        )
    # What is brought from outside has arguments, which may hold one, too.
    for key in Run.model_fields:
        if getattr(kept, key) != getattr(run, key):
            raise UserError(
                f"a setting of {key} holds a password, which no file of the job may keep: have it "
                "read from a variable, which slurm.env_file sets"
            )


def check_slurm(slurm: Slurm) -> None:
    """Raise UserError for files of the job that are not there, and for a container half told."""
    image = slurm.container
    for key, path in (("slurm.container", image), ("slurm.env_file", slurm.env_file)):
        # Not an address, and not a name in a registry.
        if path and "://" not in path and "#" not in path:
            check_shared(slurm, key, path)
    if image and "://" not in image and "#" not in image and not Path(image).exists():
        raise UserError(
            f"slurm.container={image}: no such image; make one as docs/containers.md has it"
        )
    if image and slurm.runtime == "none":
        raise UserError("slurm.runtime=none, but slurm.container names an image: leave one out")
    if not image and slurm.runtime not in (None, "none"):
        raise UserError(
            f"slurm.runtime={slurm.runtime}, but no container: add slurm.container=IMAGE"
        )
    for mount in slurm.mounts:
        if not all(path.startswith("/") for path in mount.split(":")[:2]):
            raise UserError(f"slurm.mounts: {mount} is not absolute: give /FOLDER or /FROM:/TO")
    if slurm.env_file:
        file = Path(slurm.env_file)
        if not file.is_file():
            raise UserError(f"slurm.env_file={file}: no such file")
        if file.stat().st_mode & 0o077:
            raise UserError(f"slurm.env_file={file} can be read by others: chmod 600 {file}")


def check_shared(slurm: Slurm, key: str, path: str) -> None:
    """Raise UserError for a path that means something else on another node."""
    if is_remote(path):
        return
    if not path.startswith("/"):
        raise UserError(f"{key}={path} is not absolute: a job starts in another folder")
    whole = Path(os.path.normpath(path))
    if slurm.nodes > 1 and any(whole.is_relative_to(folder) for folder in OF_ONE_NODE):
        raise UserError(f"{key}={path}: each node has a folder of its own there; give a shared one")


def check_output(key: str, path: str) -> None:
    """Raise UserError for a folder that is there, or has one above it, and cannot be written.

    Where nothing but / is there, it may be on a disk that the nodes alone see.
    """
    place = _place(path)
    if not place.is_dir():
        raise UserError(f"{key}={path}: {place} is no folder: give another")
    if is_seen_here(path) and not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{key}={path}: you may not write in {place}: give another, or the right")


def is_seen_here(path: str) -> bool:
    """Whether a path is there, or one above it; where / alone is, nodes may have a disk there."""
    place = _place(path)
    return place != place.parent


def _place(path: str) -> Path:
    """What is there of a path: itself, or the nearest above it."""
    place = Path(path)
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    return place


def check_seen(slurm: Slurm, output: str, inputs: dict[str, str]) -> None:
    """Raise UserError for an input that the container would not see. output: the job's folder."""
    for key, path in inputs.items():
        if slurm.container and not is_remote(path) and not _within(path, [output, *slurm.mounts]):
            raise UserError(
                f"the container would not see {key}={path}: add its folder, "
                f"slurm.mounts=[{Path(path).parent}]"
            )


def check_time(slurm: Slurm, margins: Mapping[str, float]) -> None:
    """Raise UserError where the run would be told to save before it has begun.

    margins: minutes before the end, of each setting by which it is told.
    """
    margins = {**margins, "slurm.signal_seconds": slurm.signal_seconds / 60}
    key = max(margins, key=margins.__getitem__)
    if slurm.minutes <= margins[key] + START_MINUTES:
        raise UserError(
            f"slurm.time={slurm.time} leaves no time to train before the save: the run stops "
            f"{margins[key]:g} minutes ({key}) before the end; give more time"
        )


def _check_chips(slurm: Slurm, run: Run, vocab_size: int) -> None:
    """Raise UserError where neither the memory nor the time would do on the fastest chip there is.

    Where not one step fits before the save, every start would end as it began, and the job would be
    requeued in vain.
    """
    from geo_nemo.train.plan import Assumptions, check_fit, make_plan

    plan = make_plan(run, vocab_size, slurm.world_size, Assumptions(FASTEST_CHIP, mfu=1.0))
    check_fit(
        plan, run, lambda gpus: ask_for_gpus(slurm, gpus), "choose a smaller model, or shorter rows"
    )
    time = plan.time
    left = slurm.minutes - max(run.health.margin_minutes, slurm.signal_seconds / 60)
    if time is not None and time.seconds_per_step > 60 * left:
        raise UserError(
            f"slurm.time={slurm.time} leaves {left:.1f} minutes before the save "
            f"(health.margin_minutes={run.health.margin_minutes:g}), and a step takes "
            f"{time.seconds_per_step / 60:.1f} at the very least: give more time or more GPUs"
        )


def ask_for_gpus(slurm: Slurm, gpus: int) -> str:
    """The settings under which the job has so many GPUs: a node is filled before there are more."""
    per_node = slurm.gpus_per_node
    most = max(per_node, GPUS_OF_A_NODE)
    if slurm.nodes == 1 and gpus <= most:
        per_node = gpus
    elif per_node == 1 or gpus % per_node:
        per_node = max(number for number in range(1, most + 1) if gpus % number == 0)
    wanted = {"nodes": gpus // per_node, "gpus_per_node": per_node}
    return " ".join(
        f"slurm.{key}={value}" for key, value in wanted.items() if value != getattr(slurm, key)
    )


def _within(path: str, mounts: Sequence[str]) -> bool:
    folders = [Path(mount.partition(":")[2].partition(":")[0] or mount) for mount in mounts]
    return any(Path(path).is_relative_to(folder) for folder in folders)
