"""Plans the windows of a stage in order, in this process or by workers."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np

from geo_nemo.common.mapped import mapped
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Data, MetadataPolicy, RunError
from geo_nemo.data.draws import Draws
from geo_nemo.data.groups import grouping_of
from geo_nemo.data.index.write import Block
from geo_nemo.data.window import Planner
from geo_nemo.metadata.compose import Composer

# Windows that are under way for each worker: enough that none waits, few enough for memory.
_AHEAD = 3


@dataclass(frozen=True)
class Extent:
    """How many windows are wanted: until there are `sequences` or `windows` of them."""

    sequences: int | None
    windows: int | None

    def done(self, windows: int, sequences: int) -> bool:
        """Whether that is enough."""
        enough_sequences = self.sequences is not None and sequences >= self.sequences
        return enough_sequences or (self.windows is not None and windows >= self.windows)


class Sink(Protocol):
    """Takes blocks in order."""

    def add(self, block: Block) -> None: ...


@dataclass(frozen=True)
class WorkerInput:
    """What a worker opens for itself; `draws` comes without its documents, which are in a file.

    groups: fields of the grouping.
    """

    split: str
    policy: MetadataPolicy
    data: Data
    key: int
    draws: Draws
    documents: Path
    dtype: np.dtype
    groups: tuple[str, ...]


def build(
    planner: Planner,
    extent: Extent,
    sink: Sink,
    workers: WorkerInput | None = None,
    progress: Progress = no_progress,
    name: str = "",
) -> None:
    """Plan windows into `sink` until `extent` is reached; the result is the same with workers."""
    sequences = 0
    with _blocks(planner, workers) as blocks:
        for windows in count():
            if extent.sequences is None:
                progress(f"index {name}", windows, extent.windows)
            else:
                progress(f"index {name}", min(sequences, extent.sequences), extent.sequences)
            if extent.done(windows, sequences):
                return
            block = next(blocks)
            sink.add(block)
            sequences += block.counts.sequences


@contextmanager
def _blocks(planner: Planner, workers: WorkerInput | None) -> Iterator[Iterator[Block]]:
    if workers is None:
        yield (Block.of(planner.plan(number), planner) for number in count())
        return
    number = workers.data.index_workers
    # Spawned, not forked: the process may hold threads and a GPU by now.
    pool = ProcessPoolExecutor(number, get_context("spawn"), _open, (workers,))
    try:
        yield _ordered(pool, number * _AHEAD)
    except BrokenProcessPool:
        raise RunError(
            "a process that builds the packing index has ended, perhaps for want of memory: "
            "give a smaller data.index_workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ordered(pool: ProcessPoolExecutor, ahead: int) -> Iterator[Block]:
    waiting = deque(pool.submit(_plan, number) for number in range(ahead))
    for number in count(ahead):
        yield waiting.popleft().result()
        waiting.append(pool.submit(_plan, number))


_planner: Planner | None = None


def _open(given: WorkerInput) -> None:
    """Open the store in a worker; what a terminal or SLURM sends to all is for the parent."""
    global _planner
    for sent in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(sent, signal.SIG_IGN)
    from geo_nemo.store import TokenStore

    store = TokenStore.open(given.data.store, tokens=False)
    split, documents = store.split(given.split), mapped(given.documents, given.dtype)
    _planner = Planner(
        split,
        Composer(given.policy, store.tokenizer()),
        given.draws.over(documents, split),
        given.key,
        given.data,
        grouping_of(store, given.groups),
    )


def _plan(number: int) -> Block:
    assert _planner is not None  # `_open` came first
    return Block.of(_planner.plan(number), _planner)
