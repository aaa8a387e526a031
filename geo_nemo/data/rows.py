"""Builds one row of `seq_length` positions from the fragments that were packed into it.

A fragment of n tokens takes n - 1 positions: `tokens = ids[:-1]`, `labels = ids[1:]`. So no label
crosses from one document to the next and BOS is never a label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from geo_nemo.metadata.compose import Composed
from geo_nemo.metadata.record import Kind

NO_SOURCE = -1
NO_SEGMENT = -1
_PAD = int(Kind.PAD)


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
    parts: list[np.ndarray] = []
    kinds: list[int] = []
    lengths: list[int] = []
    firsts, starts = [], []
    used = 0
    for fragment in fragments:
        # Labels are all tokens but the first; tokens are all but the last, and follow from them.
        first, *others = fragment.parts
        starts.append(used)
        firsts.append(first[0])
        if len(first) > 1:
            others.insert(0, first[1:])
            kinds += fragment.part_kinds
        else:
            kinds += fragment.part_kinds[1:]
        sizes = [len(part) for part in others]
        parts += others
        lengths += sizes
        used += sum(sizes)
    if used > length:
        raise ValueError(f"{len(starts)} fragments take {used} positions of {length}")

    labels = np.empty(length, np.int64)
    np.concatenate(parts, out=labels[:used])
    labels[used:] = pad_id
    tokens = np.empty(length, np.int64)
    tokens[1:] = labels[:-1]
    tokens[starts] = firsts
    tokens[used:] = pad_id

    padding = length - used
    bounds = [*starts, used, length] if padding else [*starts, length]
    cu_seqlens = np.array(bounds, np.int32)
    segment_lengths = [stop - start for start, stop in pairwise(bounds)]
    positions = np.empty(length, np.int64)
    counted = _numbers(length)
    for start, stop in pairwise(bounds):
        positions[start:stop] = counted[: stop - start]
    kinds.append(_PAD)
    lengths.append(padding)
    runs, run_lengths = np.array(kinds, np.uint8), np.array(lengths)
    segments = np.arange(len(segment_lengths), dtype=np.int32)
    countries = np.array([*sources, NO_SOURCE] if padding else sources, np.int64)
    if padding:
        segments[-1] = NO_SEGMENT
    return Row(
        tokens=tokens,
        labels=labels,
        position_ids=positions,
        loss_mask=trained_kinds(mask_loss)[runs].repeat(run_lengths),
        source_ids=countries.repeat(segment_lengths),
        label_kinds=runs.repeat(run_lengths),
        segment_ids=segments.repeat(segment_lengths),
        cu_seqlens=cu_seqlens,
        max_seqlen=max(segment_lengths),
    )


@cache
def _numbers(length: int) -> np.ndarray:
    """int64 [length], read-only: 0, 1, 2, ..."""
    numbers = np.arange(length)
    numbers.flags.writeable = False
    return numbers
