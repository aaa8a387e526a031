"""A rank's part of a checkpoint, from tensors to files on disk.

1. plan: Megatron-Core tells which tensors this rank writes, into which file.
2. stage: for a save that overlaps training they are copied into host memory; else they are used
   as they are.
3. write: a thread a file writes, hashes and syncs it. A thread, not a forked process: it ends with
   the process, holds no lock or port of it, and answers no signal.
"""

import inspect
import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

import torch
import torch.distributed as dist
import xxhash
from megatron.core.dist_checkpointing.state_dict_utils import save_preprocess
from megatron.core.dist_checkpointing.strategies.async_utils import AsyncRequest
from megatron.core.dist_checkpointing.strategies.common import COMMON_STATE_FNAME
from megatron.core.dist_checkpointing.strategies.filesystem_async import (
    DEFAULT_SUFFIX,
    FileSystemWriterAsync,
    _split_by_size_and_type,
)
from megatron.core.dist_checkpointing.strategies.state_dict_saver import save_state_dict_async_plan
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    TorchDistSaveShardedStrategy,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from torch.distributed.checkpoint import filesystem
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem, WriteItemType
from torch.distributed.checkpoint.storage import WriteResult

from geo_nemo.train.checkpoint.files import FileRecord, Files
from geo_nemo.train.checkpoint.staging import Staging

FILES_A_RANK = 2
_ABANDONED_S = 5.0


@dataclass(frozen=True)
class Bucket:
    """What goes into a file: each item with its tensor or bytes."""

    name: str
    items: list[tuple[WriteItem, object]]


class ShareWriter(FileSystemWriterAsync):
    """Megatron-Core's writer up to the writing itself. buckets: what this rank has to write."""

    def __init__(self, folder: Path, staging: Staging | None):
        super().__init__(folder, thread_count=FILES_A_RANK)
        self.staging = staging
        self.buckets: list[Bucket] = []

    def prepare_write_data(self, plan: SavePlan, planner: SavePlanner) -> None:
        if self.staging is not None:
            self.staging.begin()
        groups = _split_by_size_and_type(self.thread_count, plan.items)
        filled = [group for group in groups if group]
        self.buckets = [
            Bucket(
                f"{plan.storage_data.prefix}{number}{DEFAULT_SUFFIX}",
                [(item, self._resolved(item, planner)) for item in group],
            )
            for number, group in enumerate(filled)
        ]
        if self.staging is not None and torch.cuda.is_available():
            torch.cuda.synchronize()

    def _resolved(self, item: WriteItem, planner: SavePlanner) -> object:
        data = planner.resolve_data(item)
        if item.type == WriteItemType.BYTE_IO or self.staging is None:
            return data
        return self.staging.copy(item.index, data.detach())


class _Planning(TorchDistSaveShardedStrategy):
    """Megatron-Core's strategy for the format torch_dist, ending with the plan."""

    def __init__(self, staging: Staging | None):
        super().__init__("torch_dist", 1, thread_count=FILES_A_RANK)
        self.staging = staging
        self.writer: ShareWriter | None = None
        self.metadata: Metadata | None = None

    def async_save(self, sharded_state_dict: dict[str, Any], checkpoint_dir: Path) -> AsyncRequest:
        by_key, _, _ = _replace_state_dict_keys_with_sharded_keys(sharded_state_dict, True)
        state = mcore_to_pyt_state_dict(by_key, False)
        self.writer = ShareWriter(checkpoint_dir, self.staging)
        planner = MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False)
        planned = save_state_dict_async_plan(state, self.writer, None, 0, planner=planner)
        self.metadata = planned[0][1]
        return AsyncRequest(None, (), [])


@dataclass(frozen=True)
class RankPart:
    """What a rank writes. metadata: the index of the whole, on rank 0. common: small files."""

    writer: ShareWriter
    metadata: Metadata | None
    common: dict[str, bytes]


def plan_part(
    state: dict[str, Any], folder: Path, staging: Staging | None, validate: bool
) -> RankPart:
    """This rank's part of `state`; every rank calls it, and none writes.

    validate: check that the ranks' parts make a whole, which takes an exchange among all of them.
    """
    sharded, common = save_preprocess(state, validate)
    strategy = _Planning(staging)
    strategy.async_save(sharded, folder)
    files = {}
    if dist.get_rank() == 0:
        content = io.BytesIO()
        torch.save(common, content)
        files[COMMON_STATE_FNAME] = content.getvalue()
    assert strategy.writer is not None  # made by async_save
    return RankPart(strategy.writer, strategy.metadata, files)


@dataclass
class Written:
    """What has been written. results: where each item lies, for the checkpoint's index."""

    results: list[WriteResult] = field(default_factory=list)
    files: Files = field(default_factory=dict)


class Abandoned(Exception):
    """The write was given up."""


# Of a file that was written: its name, where each item lies in it, its size and hash.
Done = tuple[str, list[WriteResult], FileRecord | None]
Item = TypeVar("Item")


class WriteJob:
    """Writes a part in threads of its own. written and error are valid once it is done.

    extra: small files besides, by name.
    """

    def __init__(self, folder: Path, writer: ShareWriter, extra: dict[str, bytes]):
        self.folder = folder
        self.written = Written()
        self.error: BaseException | None = None
        self._transforms = getattr(writer, "transforms", None)
        self._abandoned = threading.Event()
        self._lock = threading.Lock()
        targets = [(self._write_bucket, bucket) for bucket in writer.buckets] + [
            (self._write_extra, item) for item in extra.items()
        ]
        self._threads = [
            threading.Thread(target=self._guarded, args=target, name="checkpoint", daemon=True)
            for target in targets
        ]
        # Who starts a thread waits until it runs, which may take a while beside those at work.
        self._starter = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._starter.start()

    @property
    def done(self) -> bool:
        return not self._starter.is_alive()

    def join(self) -> None:
        self._starter.join()

    def abandon(self) -> None:
        """Give up: the threads end at the next tensor."""
        self._abandoned.set()
        self._starter.join(_ABANDONED_S)

    def _run(self) -> None:
        begun = []
        try:
            for thread in self._threads:
                thread.start()
                begun.append(thread)
        except (RuntimeError, MemoryError) as error:  # the system gives no more threads
            self._fail(error)
        for thread in begun:
            thread.join()

    def _guarded(self, write: Callable[[Item], Done], what: Item) -> None:
        try:
            name, results, record = write(what)
            assert record is not None  # the file is closed
            with self._lock:
                self.written.results += results
                self.written.files[name] = record
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.error = self.error or error
        self._abandoned.set()

    def _write_extra(self, item: tuple[str, bytes]) -> Done:
        name, content = item
        with HashedFile(self.folder / name) as file:
            file.write(content)
        return name, [], file.record

    def _write_bucket(self, bucket: Bucket) -> Done:
        results = []
        with HashedFile(self.folder / bucket.name) as file:
            for item, data in bucket.items:
                if self._abandoned.is_set():
                    raise Abandoned
                if isinstance(data, torch.Tensor):
                    data = data.detach().cpu()
                    if data.untyped_storage().nbytes() != data.numel() * data.itemsize:
                        data = data.clone()  # torch.save writes the whole storage of a view
                results.append(_write_item(self._transforms, file, data, item, bucket.name))
        return bucket.name, results, file.record


class HashedFile:
    """A file that is hashed as it is written, and on disk when the block ends."""

    def __init__(self, path: Path):
        self._file: BinaryIO = path.open("wb", buffering=1 << 20)
        self._digest = xxhash.xxh3_128()
        self._size = 0
        self.record: FileRecord | None = None

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self.record = FileRecord(self._size, self._digest.hexdigest())

    def write(self, data: Any) -> int:
        self._digest.update(data)
        count = self._file.write(data)
        self._size += count
        return count

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()


def _write_item(
    transforms: Any, file: HashedFile, data: Any, item: WriteItem, name: str
) -> WriteResult:
    arguments = [transforms] if transforms is not None else []
    named = {}
    if "serialization_format" in inspect.signature(filesystem._write_item).parameters:
        named["serialization_format"] = filesystem.SerializationFormat.TORCH_SAVE
    return filesystem._write_item(*arguments, file, data, item, name, **named)
