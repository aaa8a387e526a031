"""Builds rows of `seq_length` positions from the fragments that were packed into them.

A fragment of n tokens takes n - 1 positions: `tokens = ids[:-1]`, `labels = ids[1:]`. So no label
crosses from one document to the next and BOS is never a label.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise

import numpy as np

from geo_nemo.metadata.compose import Composed
from geo_nemo.metadata.record import Kind

NO_SOURCE = -1
NO_SEGMENT = -1
_PAD = int(Kind.PAD)


@dataclass(frozen=True)
class Arrays:
    """What rows have for each position; [s] of one row, [n, s] of several.

    tokens, labels: int64. labels[t] is the token that follows tokens[t] in its document.
    position_ids: int64, from 0 in each segment.
    loss_mask: float32, 1 where labels[t] is trained.
    source_ids: int64, country of the document as an index into the store's countries; -1: padding.
    label_kinds: uint8, `Kind` of labels[t].
    segment_ids: int32, number of the fragment in the row; -1: padding.
    """

    tokens: np.ndarray
    labels: np.ndarray
    position_ids: np.ndarray
    loss_mask: np.ndarray
    source_ids: np.ndarray
    label_kinds: np.ndarray
    segment_ids: np.ndarray


ROW_ARRAYS = tuple(field.name for field in fields(Arrays))


@dataclass(frozen=True)
class Row(Arrays):
    """One training sequence.

    cu_seqlens: int32 [k + 1], starts of the segments and s; padding, if any, is the last segment.
    max_seqlen: int, the longest segment.
    """

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


@dataclass(frozen=True)
class Block(Arrays):
    """n rows built together.

    bounds: of each row, starts of its segments and s.
    """

    bounds: list[list[int]]

    def row(self, number: int) -> Row:
        """One of the rows; its arrays are views."""
        bounds = self.bounds[number]
        return Row(
            **{name: getattr(self, name)[number] for name in ROW_ARRAYS},
            cu_seqlens=np.array(bounds, np.int32),
            max_seqlen=longest(bounds),
        )


def longest(bounds: Sequence[int]) -> int:
    """The longest stretch between two bounds."""
    return max(stop - start for start, stop in pairwise(bounds))


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
    return build_rows([(fragments, sources)], length, pad_id, mask_loss).row(0)


def build_rows(
    rows: Sequence[tuple[Sequence[Composed], Sequence[int]]],
    length: int,
    pad_id: int,
    mask_loss: bool,
) -> Block:
    """Rows as `build_row` makes them, of (fragments, sources) each; quicker than one by one."""
    # Labels are all tokens of a fragment but the first; tokens follow from them.
    parts: list[np.ndarray] = []
    kinds: list[int] = []
    lengths: list[int] = []
    firsts: list[int] = []
    starts: list[int] = []
    segments: list[int] = []
    countries: list[int] = []
    bounds: list[list[int]] = []
    padding = _padding(length, pad_id)
    for place, (fragments, sources) in enumerate(rows):
        base, used = place * length, 0
        of_row = []
        for fragment in fragments:
            first, *others = fragment.parts
            of_row.append(used)
            starts.append(base + used)
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
            raise ValueError(f"{len(fragments)} fragments take {used} positions of {length}")
        segments += range(len(fragments))
        countries.extend(sources)  # which may be an array
        if used < length:
            of_row.append(used)
            starts.append(base + used)
            firsts.append(pad_id)
            segments.append(NO_SEGMENT)
            countries.append(NO_SOURCE)
            parts.append(padding[: length - used])
            kinds.append(_PAD)
            lengths.append(length - used)
        of_row.append(length)
        bounds.append(of_row)

    size, shape = len(rows) * length, (len(rows), length)
    labels = np.empty(size, np.int64)
    np.concatenate(parts, out=labels)
    tokens = np.empty(size, np.int64)
    tokens[1:] = labels[:-1]
    tokens[starts] = firsts
    begins = np.array(starts)
    segment_lengths = np.diff(begins, append=size)
    runs, run_lengths = np.array(kinds, np.uint8), np.array(lengths)
    arrays = {
        "tokens": tokens,
        "labels": labels,
        "position_ids": np.arange(size) - begins.repeat(segment_lengths),
        "loss_mask": trained_kinds(mask_loss)[runs].repeat(run_lengths),
        "source_ids": np.array(countries, np.int64).repeat(segment_lengths),
        "label_kinds": runs.repeat(run_lengths),
        "segment_ids": np.array(segments, np.int32).repeat(segment_lengths),
    }
    return Block(**{name: array.reshape(shape) for name, array in arrays.items()}, bounds=bounds)


@cache
def _padding(length: int, pad_id: int) -> np.ndarray:
    """int32 [length], read-only."""
    padding = np.full(length, pad_id, np.int32)
    padding.flags.writeable = False
    return padding
