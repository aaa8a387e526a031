"""A micro-batch as tensors on the device: the part of a packed sequence that a rank works on.

To a GPU the next one is copied while the one before is computed: from pinned memory, which the
GPU's copy engine reads without the processor, on a stream of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from megatron.core.packed_seq_params import PackedSeqParams

from geo_nemo.data.batches import Batch
from geo_nemo.model.context import PADDING, ContextRank

# What a batch tells of each token, and what padding has in its place.
_OF_A_TOKEN = {"tokens": 0, "labels": 0, "loss_mask": 0, "position_ids": 0, "group_ids": -1}


Item = TypeVar("Item")
Begun = TypeVar("Begun")
# Tensors by the names of a batch's arrays, and `packed_seq_params`.
MicroBatch = dict[str, Any]


@dataclass
class PackedParams(PackedSeqParams):
    """Megatron-Core's, and `cu_seqlens_q` on the host, so that nobody asks the device for it."""

    borders: list[int] | None = None


# Padding is within documents, where a rank shares them: Transformer Engine need not compare borders
# on the device, for which the host would wait. Megatron-Core 0.19 and later pass this on.
_NO_GAPS = (
    {"pad_between_seqs": False}
    if "pad_between_seqs" in {each.name for each in fields(PackedSeqParams)}
    else {}
)


def forward(model: torch.nn.Module, tensors: MicroBatch) -> torch.Tensor:
    """What a pipeline stage gives for a packed sequence: on the last, -log p(label), [1, b * s]."""
    return model(
        tensors["tokens"],
        tensors["position_ids"],
        None,
        labels=tensors["labels"],
        packed_seq_params=tensors["packed_seq_params"],
    )


def to_device(batch: Batch, device: torch.device, context: ContextRank | None = None) -> MicroBatch:
    """A batch of [b, s] arrays as tensors of one packed sequence, [1, b * s], on `device`.

    context: takes a rank's part of the sequence, [1, t], where several share it.
    """

    def move(array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if device.type == "cuda":  # torch holds the memory back until the copy has been made
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)

    arrays = {name: getattr(batch, name).reshape(-1) for name in _OF_A_TOKEN}
    cu_seqlens, max_seqlen = batch.cu_seqlens, batch.max_seqlen
    divided = context is not None and context.size > 1
    if context is not None and divided:
        cu_seqlens, origin = context.divide(cu_seqlens)
        max_seqlen = int(np.diff(cu_seqlens).max())
        arrays = {
            name: np.where(origin == PADDING, _OF_A_TOKEN[name], array[origin]).astype(array.dtype)
            for name, array in arrays.items()
        }
    tensors = {name: move(array).view(1, -1) for name, array in arrays.items()}
    borders = move(cu_seqlens)
    tensors["packed_seq_params"] = PackedParams(
        borders=cu_seqlens.tolist(),
        qkv_format="thd",
        cu_seqlens_q=borders,
        cu_seqlens_kv=borders,
        # Transformer Engine asks for these where ranks share a sequence; the padding is in
        # documents.
        cu_seqlens_q_padded=borders if divided else None,
        cu_seqlens_kv_padded=borders if divided else None,
        max_seqlen_q=max_seqlen,
        max_seqlen_kv=max_seqlen,
        **_NO_GAPS,
    )
    return tensors


def on_device(
    batches: Iterable[Batch], device: torch.device, context: ContextRank | None = None
) -> Iterator[MicroBatch]:
    """`to_device` of each batch; on a GPU the copy of the next has begun when one is given."""
    if device.type != "cuda":
        yield from (to_device(batch, device, context) for batch in batches)
        return
    stream = torch.cuda.Stream(device)

    def begin(batch: Batch) -> tuple[MicroBatch, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            tensors = to_device(batch, device, context)
        return tensors, stream.record_event()

    for tensors, copied in one_ahead(batches, begin):
        computing = torch.cuda.current_stream(device)
        computing.wait_event(copied)
        for tensor in tensors_of(tensors):
            tensor.record_stream(computing)  # or the copies' stream might fill its memory anew
        yield tensors


def one_ahead(items: Iterable[Item], begin: Callable[[Item], Begun]) -> Iterator[Begun]:
    """`begin` of each item in order, called for the next one before one is given."""
    begun: list[Begun] = []
    for item in items:
        begun.append(begin(item))
        if len(begun) > 1:
            yield begun.pop(0)
    yield from begun


def tensors_of(micro_batch: MicroBatch) -> Iterator[torch.Tensor]:
    """Every tensor of what `to_device` gives, each once."""
    for value in micro_batch.values():
        if isinstance(value, torch.Tensor):
            yield value
    yield micro_batch["packed_seq_params"].cu_seqlens_q


def in_groups(batches: Sequence[Batch], size: int) -> list[Batch]:
    """`batches` and, up to a multiple of `size`, the last one wholly masked.

    An interleaved pipeline takes groups of as many micro-batches as it has ranks.
    """
    last = batches[-1]
    filler = replace(last, loss_mask=np.zeros_like(last.loss_mask))
    return [*batches, *[filler] * (-len(batches) % size)]
