"""A store's packed sequences under a policy for other trainers: torch, Hugging Face datasets, a
loop.

    policy = MetadataPolicy(cut="whole")
    sequences = sequences_of_store("runs/news/store", policy, seq_length=2048, seed=1)
    loader = StatefulDataLoader(SequenceStream(sequences), batch_size=None, num_workers=2)

They are those of a stage of ours, to the byte (`digest`). Where there are several processes and
workers each sequence goes to one of them, and none of them holds more than its place.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from geo_nemo.common.errors import UserError
from geo_nemo.config import Data, MetadataPolicy
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.sequences import SEQUENCE_ARRAYS, PackedSequence
from geo_nemo.store import TokenStore
from geo_nemo.store.fields import check_fields

IGNORED = -100


def sequences_of_store(
    store: str,
    policy: MetadataPolicy,
    seq_length: int,
    seed: int = 1234,
    *,
    split: str = "train",
    num_sequences: int | None = None,
    documents: np.ndarray | None = None,
    packing: str = "best_fit",
    stage: str = "",
) -> StageDataset:
    """Documents of a split, packed; an epoch of them, or `num_sequences` of as many as they take.

    Sequences follow from the arguments alone. documents: indices into the split, [n]; None: all.
    stage: a name that draws another order from a seed.
    Raises `UserError` for a split or a field that the store does not have.
    """
    opened = TokenStore.open(store)
    if split not in opened.splits:
        raise UserError(f"{store} has no split {split}, only {', '.join(opened.splits)}")
    part = opened.split(split)
    check_fields(policy, part, "policy")
    return StageDataset(
        part,
        Data(store=str(store), seq_length=seq_length, packing=packing),
        policy,
        opened.tokenizer(),
        np.arange(part.num_documents) if documents is None else documents,
        seed,
        num_sequences,
        stage=stage,
    )


class SequenceStream(torch.utils.data.IterableDataset):
    """Sequences as dictionaries of tensors, in order, with the state that torchdata's loader wants.

    rank, world_size: of data-parallel processes. as_example: what becomes of each, `arrays`,
    `example` or `inputs_and_labels`. A state is of one worker among as many, and is refused
    elsewhere.
    """

    def __init__(
        self, sequences: StageDataset, rank: int = 0, world_size: int = 1, as_example=None
    ):
        if not 0 <= rank < world_size:
            raise UserError(f"rank {rank} is none of {world_size} processes")
        self._sequences = sequences
        self._rank, self._world_size = rank, world_size
        self._as_example = as_example or arrays
        self._taken = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker, workers = self._place()
        first = self._rank * workers + worker
        step = self._world_size * workers
        while (sample := first + self._taken * step) < len(self._sequences):
            self._taken += 1
            yield self._as_example(self._sequences[sample])
        self._taken = 0  # the next epoch begins anew

    def state_dict(self) -> dict[str, int]:
        """Where this worker stands."""
        worker, workers = self._place()
        return {
            "taken": self._taken,
            "worker": worker,
            "workers": workers,
            "rank": self._rank,
            "world_size": self._world_size,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on behind the sequences that a stream with this state had given."""
        here = self.state_dict()
        wrong = [name for name in here if name != "taken" and state.get(name) != here[name]]
        if wrong:
            name = wrong[0]
            raise UserError(
                f"the state is of {name} {state.get(name)}, and this is {name} {here[name]}: "
                "go on with as many processes and workers as before"
            )
        self._taken = int(state["taken"])

    def _place(self) -> tuple[int, int]:
        info = torch.utils.data.get_worker_info()
        return (0, 1) if info is None else (info.id, info.num_workers)


def arrays(sequence: PackedSequence) -> dict[str, torch.Tensor]:
    """tokens, labels, position_ids [s] and so on of a sequence; labels[t] follows tokens[t].

    cu_seqlens: int32, starts of the documents and s.
    """
    found = {name: torch.as_tensor(getattr(sequence, name)) for name in SEQUENCE_ARRAYS}
    return {**found, "cu_seqlens": torch.as_tensor(sequence.cu_seqlens)}


def example(sequence: PackedSequence) -> dict[str, list[int]]:
    """input_ids, labels and seq_lengths, as transformers and TRL take packed examples.

    A document has its EOS as an input here, and labels stand under their own token, IGNORED where
    there is no loss: models of transformers shift them. Padding is left out. Raises UserError where
    tokens have weights, which labels cannot say.
    """
    _check_labels(sequence)
    ids: list[int] = []
    labels: list[int] = []
    lengths: list[int] = []
    segments = sequence.segment_ids
    for start, stop in zip(
        sequence.cu_seqlens[:-1].tolist(), sequence.cu_seqlens[1:].tolist(), strict=True
    ):
        if segments[start] < 0:
            continue
        targets = sequence.labels[start:stop]
        trained = np.where(sequence.loss_mask[start:stop] > 0, targets, IGNORED)
        ids += [int(sequence.tokens[start]), *targets.tolist()]
        labels += [IGNORED, *trained.tolist()]
        lengths.append(stop - start + 1)
    return {"input_ids": ids, "labels": labels, "seq_lengths": lengths}


def inputs_and_labels(sequence: PackedSequence) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """`input` and `positions`, and labels int64 [s], as torchtitan's loaders give them.

    Labels are IGNORED where there is no loss. Raises UserError as `example` does.
    """
    _check_labels(sequence)
    tokens, labels, positions, loss_mask = (
        torch.as_tensor(getattr(sequence, name))
        for name in ("tokens", "labels", "position_ids", "loss_mask")
    )
    inputs = {"input": tokens.long(), "positions": positions.long()}
    return inputs, labels.long().masked_fill(loss_mask == 0, IGNORED)


def as_hugging_face(sequences: StageDataset, num_shards: int = 1) -> Any:
    """The sequences as an IterableDataset of Hugging Face's datasets; columns as in `example`.

    num_shards: parts that its own workers and processes divide among themselves.
    """
    import datasets

    return datasets.IterableDataset.from_generator(
        _generate,
        gen_kwargs={"parts": list(range(num_shards)), "sequences": sequences, "of": num_shards},
    )


def digest(sequence: PackedSequence) -> str:
    """Thirty-two hex digits of all that a sequence holds."""
    found = hashlib.sha256()
    for field in fields(PackedSequence):
        found.update(np.ascontiguousarray(getattr(sequence, field.name)).tobytes())
    return found.hexdigest()[:32]


def _check_labels(sequence: PackedSequence) -> None:
    if not np.isin(sequence.loss_mask, (0, 1)).all():
        raise UserError(
            "loss_weights other than 0 and 1 have no place in these labels: leave them out of the "
            "policy, or train with geo-nemo train"
        )


def _generate(parts: list[int], sequences: StageDataset, of: int) -> Iterator[dict[str, list[int]]]:
    for part in parts:
        for sample in range(part, len(sequences), of):
            yield example(sequences[sample])
