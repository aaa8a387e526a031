"""Builds one row of `seq_length` positions from the fragments that were packed into it.

A fragment of n tokens takes n - 1 positions: `tokens = ids[:-1]`, `labels = ids[1:]`. So no label
crosses from one document to the next and BOS is never a label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from geo_nemo.metadata.compose import Composed
from geo_nemo.metadata.record import Kind

NO_SOURCE = -1
NO_SEGMENT = -1


@dataclass(frozen=True)
class Row:
    """One training sequence; every array but the last two has shape [s].

    tokens, labels: int64. labels[t] is the token that follows tokens[t] in its document.
    position_ids: int64, from 0 in each segment.
    loss_mask: float32, 1 where labels[t] is trained.
    source_ids: int64, country of the document as an index into the store's countries; -1: padding.
    label_kinds: uint8, `Kind` of labels[t].
    segment_ids: int32, number of the fragment in the row; -1: padding.
    cu_seqlens: int32 [k + 1], starts of the segments and s; padding, if any, is the last segment.
    max_seqlen: int, the longest segment.
    """

    tokens: np.ndarray
    labels: np.ndarray
    position_ids: np.ndarray
    loss_mask: np.ndarray
    source_ids: np.ndarray
    label_kinds: np.ndarray
    segment_ids: np.ndarray
    cu_seqlens: np.ndarray
    max_seqlen: int


@cache
def trained_kinds(mask_loss: bool) -> np.ndarray:
    """float32 [number of kinds], read-only: 1 for kinds of label that are trained."""
    kinds = [Kind.TITLE, Kind.BODY, Kind.EOS]
    if not mask_loss:
        kinds += [Kind.METADATA, Kind.LABEL]
    weights = np.zeros(len(Kind), dtype=np.float32)
    weights[kinds] = 1
    weights.flags.writeable = False
    return weights


def build_row(
    fragments: Sequence[Composed],
    sources: Sequence[int],
    length: int,
    pad_id: int,
    mask_loss: bool,
) -> Row:
    """The row of `fragments`, in this order, padded with `pad_id` to `length` positions.

    sources: index of each fragment's country. Raises ValueError when the fragments do not fit.
    """
    ids = np.concatenate([fragment.ids for fragment in fragments])
    kinds = np.concatenate([fragment.kinds for fragment in fragments])
    sizes = np.array([len(fragment.ids) for fragment in fragments])
    segment_lengths = sizes - 1
    used = len(ids) - len(sizes)
    if used > length:
        raise ValueError(f"{len(sizes)} fragments take {used} positions of {length}")

    ends = np.cumsum(sizes)
    is_token = np.ones(len(ids), dtype=bool)
    is_token[ends - 1] = False
    is_label = np.ones(len(ids), dtype=bool)
    is_label[ends - sizes] = False

    starts = np.cumsum(segment_lengths) - segment_lengths
    boundaries = [*starts.tolist(), used] if used < length else starts.tolist()
    cu_seqlens = np.array([*boundaries, length], dtype=np.int32)
    all_lengths = np.diff(cu_seqlens)

    label_kinds = _padded(kinds[is_label], length, Kind.PAD, np.uint8)
    return Row(
        tokens=_padded(ids[is_token], length, pad_id, np.int64),
        labels=_padded(ids[is_label], length, pad_id, np.int64),
        position_ids=np.arange(length) - np.repeat(cu_seqlens[:-1], all_lengths),
        loss_mask=trained_kinds(mask_loss)[label_kinds],
        source_ids=_padded(np.repeat(sources, segment_lengths), length, NO_SOURCE, np.int64),
        label_kinds=label_kinds,
        segment_ids=_padded(
            np.repeat(np.arange(len(sizes)), segment_lengths), length, NO_SEGMENT, np.int32
        ),
        cu_seqlens=cu_seqlens,
        max_seqlen=int(all_lengths.max()),
    )


def _padded(values: np.ndarray, length: int, fill: int, dtype: type) -> np.ndarray:
    out = np.empty(length, dtype=dtype)
    out[: len(values)] = values
    out[len(values) :] = fill
    return out
