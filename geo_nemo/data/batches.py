"""Batches of a stage for one rank, in an order that no layout changes, with state that resumes.

Step t takes the samples consumed so far and the next `global_batch_size`. Micro-batch m of rank r
holds `micro_batch_size` of them from place `(m * dp_size + r) * micro_batch_size` on.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from geo_nemo.config import UserError
from geo_nemo.data.sequences import SEQUENCE_ARRAYS, Arrays, Block, PackedSequence

PREFETCHED_STEPS = 2
# Sequences that are built at once: more are no quicker, and their arrays leave a processor's cache.
SEQUENCES_TOGETHER = 32
_POLL_S = 0.1


@dataclass(frozen=True)
class Batch(Arrays):
    """A micro-batch of b sequences.

    cu_seqlens: int32 [k + 1], starts of the segments in the flattened b * s tokens, and b * s.
    max_seqlen: the longest segment. sample_ids: int64 [b], index of each sequence in the dataset.
    """

    cu_seqlens: np.ndarray
    max_seqlen: int
    sample_ids: np.ndarray


class PackedSequences(Protocol):
    """What a stream reads from; `StageDataset` is one."""

    def __len__(self) -> int: ...

    def block(self, samples: Sequence[int]) -> Block: ...

    def fingerprint(self) -> dict[str, int | str]: ...


def stack_sequences(sequences: list[PackedSequence], sample_ids: list[int]) -> Batch:
    """One micro-batch of sequences of equal length."""
    length = len(sequences[0].tokens)
    offsets = [
        sequence.cu_seqlens[:-1] + place * length for place, sequence in enumerate(sequences)
    ]
    return Batch(
        **{
            name: np.stack([getattr(sequence, name) for sequence in sequences])
            for name in SEQUENCE_ARRAYS
        },
        cu_seqlens=np.concatenate([*offsets, [len(sequences) * length]]).astype(np.int32),
        max_seqlen=max(sequence.max_seqlen for sequence in sequences),
        sample_ids=np.array(sample_ids, dtype=np.int64),
    )


def micro_batches(block: Block, sample_ids: Sequence[int], size: int) -> list[Batch]:
    """The sequences of a block, `size` in each micro-batch; arrays are views of the block's."""
    batches = []
    for first in range(0, len(sample_ids), size):
        stop = min(first + size, len(sample_ids))
        cu_seqlens, max_seqlen = block.borders(first, stop)
        batches.append(
            Batch(
                **{name: getattr(block, name)[first:stop] for name in SEQUENCE_ARRAYS},
                cu_seqlens=cu_seqlens,
                max_seqlen=max_seqlen,
                sample_ids=np.array(sample_ids[first:stop], np.int64),
            )
        )
    return batches


def sequences_of(batch: Batch) -> list[PackedSequence]:
    """The sequences that were stacked."""
    count, length = batch.tokens.shape
    sequences = []
    for index in range(count):
        start = index * length
        inside = (batch.cu_seqlens >= start) & (batch.cu_seqlens <= start + length)
        borders = batch.cu_seqlens[inside] - start
        sequences.append(
            PackedSequence(
                **{name: getattr(batch, name)[index] for name in SEQUENCE_ARRAYS},
                cu_seqlens=borders,
                max_seqlen=int(np.diff(borders).max()),
            )
        )
    return sequences


@dataclass(frozen=True)
class _Layout:
    """Which samples of a step belong to this rank."""

    global_batch_size: int
    micro_batch_size: int
    dp_rank: int
    dp_size: int

    def step(self, dataset: PackedSequences, consumed: int) -> list[Batch]:
        firsts = range(
            consumed + self.dp_rank * self.micro_batch_size,
            consumed + self.global_batch_size,
            self.dp_size * self.micro_batch_size,
        )
        together = max(1, SEQUENCES_TOGETHER // self.micro_batch_size)
        batches = []
        for start in range(0, len(firsts), together):
            some = firsts[start : start + together]
            samples = [i for first in some for i in range(first, first + self.micro_batch_size)]
            batches += micro_batches(dataset.block(samples), samples, self.micro_batch_size)
        return batches

    def steps(self, dataset: PackedSequences, consumed: int) -> Iterator[list[Batch]]:
        while consumed + self.global_batch_size <= len(dataset):
            yield self.step(dataset, consumed)
            consumed += self.global_batch_size


class BatchStream:
    """Iterates over steps; each is the list of this rank's micro-batches.

    Ends when fewer than `global_batch_size` samples remain. One background thread builds
    `prefetch` steps ahead (0: none); an error there is raised from `next`. The state counts the
    samples of steps that were handed out, so what was only prefetched is built again on resume.
    """

    def __init__(
        self,
        dataset: PackedSequences,
        global_batch_size: int,
        micro_batch_size: int,
        dp_rank: int,
        dp_size: int,
        consumed_samples: int = 0,
        prefetch: int = PREFETCHED_STEPS,
    ):
        self._worker: _Worker | None = None
        if not 0 <= dp_rank < dp_size:
            raise ValueError(f"dp_rank {dp_rank} of dp_size {dp_size}")
        if global_batch_size % (micro_batch_size * dp_size):
            raise UserError(
                f"global_batch_size {global_batch_size} is not a multiple of micro_batch_size "
                f"{micro_batch_size} x {dp_size} data-parallel ranks: change one of them"
            )
        self._dataset = dataset
        self._layout = _Layout(global_batch_size, micro_batch_size, dp_rank, dp_size)
        self._prefetch = prefetch
        self._consumed = consumed_samples

    @property
    def consumed_samples(self) -> int:
        """Samples of the steps handed out, over all ranks."""
        return self._consumed

    def __iter__(self) -> Iterator[list[Batch]]:
        return self

    def __next__(self) -> list[Batch]:
        if self._consumed + self._layout.global_batch_size > len(self._dataset):
            self.close()
            raise StopIteration
        if self._prefetch:
            if self._worker is None:
                steps = self._layout.steps(self._dataset, self._consumed)
                self._worker = _Worker(steps, self._prefetch)
            step = self._worker.take()
        else:
            step = self._layout.step(self._dataset, self._consumed)
        self._consumed += self._layout.global_batch_size
        return step

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; the same for every rank."""
        return {"consumed_samples": self._consumed, "dataset": self._dataset.fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the steps that `state` had handed out.

        The number of ranks and the batch sizes may differ from the saved run's. Raises UserError
        when the dataset is another one, naming what changed.
        """
        saved, here = state["dataset"], self._dataset.fingerprint()
        changed = [
            f"{key} was {saved.get(key)} and is {here.get(key)}"
            for key in sorted(saved.keys() | here.keys())
            if saved.get(key) != here.get(key)
        ]
        if changed:
            raise UserError(
                f"the checkpoint's data differ from this run's: {'; '.join(changed)}: resume with "
                f"the same settings or start a new run"
            )
        self.close()
        self._consumed = state["consumed_samples"]

    def close(self) -> None:
        """Stop the background thread; the stream can be used again."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def __del__(self) -> None:
        self.close()


# A step, or what ended the iterator.
_Item = tuple[list[Batch], None] | tuple[None, BaseException]


class _Worker:
    """A daemon thread that runs an iterator ahead of its consumer."""

    def __init__(self, steps: Iterator[list[Batch]], depth: int):
        self._ready: queue.Queue[_Item] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._steps = steps
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def take(self) -> list[Batch]:
        step, error = self._ready.get()
        if error is not None:
            # Put back, so that a caller who tries again gets the error and does not hang.
            self._ready.put((None, error))
            raise error
        assert step is not None
        return step

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for step in self._steps:
                if not self._offer((step, None)):
                    return
        except BaseException as error:
            self._offer((None, error))

    def _offer(self, item: _Item) -> bool:
        while not self._stopped.is_set():
            try:
                self._ready.put(item, timeout=_POLL_S)
                return True
            except queue.Full:
                continue
        return False
