"""The last phase of a save, on rank 0: index and record, the name, and what goes for it."""

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from megatron.core.dist_checkpointing.core import CheckpointingConfig, save_config

from geo_nemo.common.files import PARTIAL, partial_of, sync_tree
from geo_nemo.common.folders import replace_folder
from geo_nemo.common.log import logger
from geo_nemo.config import Checkpoint
from geo_nemo.train.checkpoint import load as checkpoint
from geo_nemo.train.checkpoint.files import (
    file_record,
    point_latest,
    to_drop,
    write_record,
)
from geo_nemo.train.checkpoint.write import RankPart, Written

LOG = logger(__name__)


def commit(
    final: Path,
    partial: Path,
    position: checkpoint.Position,
    mine: RankPart,
    written: Sequence[Written],
    settings: Checkpoint,
    damaged: Collection[str] = (),
    in_use: Collection[str] = (),
) -> None:
    """Make `partial`, whose shards are on disk, the whole checkpoint `final`.

    written: of each rank. damaged: names of checkpoints that count as none. in_use: names
    of those that are being copied, and stay until the next commit.
    """
    mine.writer.finish(mine.metadata, [part.results for part in written])
    save_config(CheckpointingConfig("torch_dist", 1), str(partial))
    files = {name: record for part in written for name, record in part.files.items()}
    for name in os.listdir(partial):
        if name not in files:  # those of the two lines above
            files[name] = file_record(partial / name)
    write_record(partial, position.as_record(), files)
    sync_tree(partial)
    directory = final.parent
    replace_folder(partial, final)
    point_latest(directory, final)
    still_damaged = [name for name in damaged if name != final.name]
    for old in to_drop(directory, final, settings.keep_last, settings.keep_best, still_damaged):
        if old.name not in in_use:
            _try(old, lambda path: os.replace(path, partial_of(path)))
    for old in directory.glob(f"step_*{PARTIAL}"):
        _try(old, shutil.rmtree)


def _try(old: Path, remove: Callable[[Path], None]) -> None:
    """Remove an old checkpoint; one that stays is no reason to end a run whose new one is whole.

    A file that a process of this machine reads stays on NFS under another name, in its folder.
    """
    try:
        remove(old)
    except OSError as error:
        LOG.warning(f"cannot remove {old}: {error.strerror or error}; each save tries it again")
