"""Builds sequences of `seq_length` positions from the fragments that were packed into them.

A fragment of n tokens takes n - 1 positions: `tokens = ids[:-1]`, `labels = ids[1:]`. So no label
crosses from one document to the next and BOS is never a label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import compress
from types import MappingProxyType

import numpy as np

from geo_nemo.config.loss_weights import TokenKind, usual_weights
from geo_nemo.metadata.blocks import NO_TOKENS
from geo_nemo.metadata.composed import KINDS_OF, Composed
from geo_nemo.metadata.record import Kind

NO_GROUP = -1
NO_SEGMENT = -1
# Kinds of a fragment's labels and of the padding behind it, in order, by how many there are.
_RUNS = {len(kinds) + 1: np.array([*kinds, Kind.PAD], np.uint8) for kinds in KINDS_OF.values()}


@dataclass(frozen=True)
class Arrays:
    """What sequences have for each position; [s] of one sequence, [n, s] of several.

    tokens, labels: int64. labels[t] is the token that follows tokens[t] in its document.
    position_ids: int64, from 0 in each segment.
    loss_mask: float32, the weight of labels[t] in the loss: 0 where it is not trained, else 1, or
        what the policy's loss_weights say.
    group_ids: int16, group of the document, by its country where no other is chosen; -1: padding.
    label_kinds: uint8, `Kind` of labels[t].
    """

    tokens: np.ndarray
    labels: np.ndarray
    position_ids: np.ndarray
    loss_mask: np.ndarray
    group_ids: np.ndarray
    label_kinds: np.ndarray


SEQUENCE_ARRAYS = tuple(field.name for field in fields(Arrays))


@dataclass(frozen=True)
class PackedSequence(Arrays):
    """One training sequence.

    cu_seqlens: int32 [k + 1], starts of the segments and s; padding, if any, is the last segment.
    max_seqlen: int, the longest segment.
    """

    cu_seqlens: np.ndarray
    max_seqlen: int

    @property
    def segment_ids(self) -> np.ndarray:
        """Number of the fragment that each position belongs to, int32 [s]; -1: padding."""
        sizes = np.diff(self.cu_seqlens)
        numbers = np.arange(len(sizes), dtype=np.int32).repeat(sizes)
        numbers[self.group_ids == NO_GROUP] = NO_SEGMENT
        return numbers


AS_USUAL: Mapping[TokenKind, float] = MappingProxyType({})
# Kinds of label by the names that a policy's weights have for them.
_KINDS = {
    "metadata": Kind.METADATA,
    "label": Kind.LABEL,
    "title": Kind.TITLE,
    "body": Kind.BODY,
    "end": Kind.EOS,
}


def kind_weights(mask_loss: bool, loss_weights: Mapping[TokenKind, float] = AS_USUAL) -> np.ndarray:
    """The weight in the loss of labels of each `Kind`, float32 [number of kinds], read-only.

    mask_loss, loss_weights: as of a policy.
    """
    return _kind_weights(tuple((usual_weights(mask_loss) | {**loss_weights}).items()))


@cache
def _kind_weights(weights: tuple[tuple[str, float], ...]) -> np.ndarray:
    by_kind = np.zeros(len(Kind), dtype=np.float32)
    for name, weight in weights:
        by_kind[_KINDS[name]] = weight
    by_kind.flags.writeable = False
    return by_kind


@dataclass(frozen=True)
class Block(Arrays):
    """n sequences built together.

    starts, lengths: of the segments of all sequences, in their n * s positions, int64 [k].
    first_segments: of each sequence, among them, and k; [n + 1].
    """

    starts: np.ndarray
    lengths: np.ndarray
    first_segments: list[int]

    def borders(self, first: int, stop: int) -> tuple[np.ndarray, int]:
        """`cu_seqlens` and `max_seqlen` of the sequences from `first` to before `stop`."""
        length = self.tokens.shape[1]
        segments = slice(self.first_segments[first], self.first_segments[stop])
        cu_seqlens = np.full(segments.stop - segments.start + 1, (stop - first) * length, np.int32)
        cu_seqlens[:-1] = self.starts[segments] - first * length
        return cu_seqlens, int(self.lengths[segments].max())

    def sequence(self, number: int) -> PackedSequence:
        """One of the sequences; its arrays are views."""
        cu_seqlens, max_seqlen = self.borders(number, number + 1)
        return PackedSequence(
            **{name: getattr(self, name)[number] for name in SEQUENCE_ARRAYS},
            cu_seqlens=cu_seqlens,
            max_seqlen=max_seqlen,
        )


@dataclass(frozen=True)
class FragmentParts:
    """The parts of composed fragments, one fragment behind the other, for `build_block`.

    parts: `Composed.parts` of each, as many of each, and behind those of each an empty array, the
    place of the padding that follows it. firsts: first tokens, [fragments].
    """

    parts: list[np.ndarray]
    firsts: list[int]

    @property
    def width(self) -> int:
        """Arrays of a fragment, that of padding among them."""
        return len(self.parts) // len(self.firsts)


def parts_of(fragments: Sequence[Composed]) -> FragmentParts:
    """The parts of fragments that are composed."""
    parts: list[np.ndarray] = []
    width = len(fragments[0].parts) + 1
    for fragment in fragments:
        parts += fragment.parts
        parts.append(NO_TOKENS)
    if len(parts) != width * len(fragments):
        # Plain texts stand beside others: all have then as many parts as those that have more.
        return parts_of([fragment.spliced for fragment in fragments])
    return FragmentParts(parts, [fragment.first for fragment in fragments])


def build_sequence(
    fragments: Sequence[Composed],
    groups: Sequence[int],
    length: int,
    pad_id: int,
    mask_loss: bool,
    loss_weights: Mapping[TokenKind, float] = AS_USUAL,
) -> PackedSequence:
    """The sequence of `fragments`, in this order, padded with `pad_id` to `length` positions.

    groups: of each fragment. mask_loss, loss_weights: as of a policy. Raises ValueError when the
    fragments do not fit.
    """
    sequences = [(fragments, groups)]
    return build_sequences(sequences, length, pad_id, mask_loss, loss_weights).sequence(0)


def build_sequences(
    sequences: Sequence[tuple[Sequence[Composed], Sequence[int]]],
    length: int,
    pad_id: int,
    mask_loss: bool,
    loss_weights: Mapping[TokenKind, float] = AS_USUAL,
) -> Block:
    """Sequences as `build_sequence` makes them, of (fragments, groups) each; quicker than one by
    one.

    Each sequence has a fragment, and each fragment a label.
    """
    composed = [fragment for fragments, _ in sequences for fragment in fragments]
    return build_block(
        parts_of(composed),
        [len(fragments) for fragments, _ in sequences],
        [group for _, groups in sequences for group in groups],
        length,
        pad_id,
        mask_loss,
        loss_weights,
    )


def build_block(
    fragments: FragmentParts,
    counts: Sequence[int] | np.ndarray,
    groups: Sequence[int],
    length: int,
    pad_id: int,
    mask_loss: bool,
    loss_weights: Mapping[TokenKind, float] = AS_USUAL,
) -> Block:
    """Sequences of the parts of all their fragments; `fragments.parts` is changed in place.

    counts: fragments of each sequence. groups: of each fragment. The rest as of `build_sequence`.
    """
    # The labels of a fragment are all its tokens but the first; tokens follow from them.
    parts, firsts, width = fragments.parts, fragments.firsts, fragments.width
    sizes = np.fromiter(map(len, parts), np.int64, len(parts)).reshape(-1, width)
    taken = sizes.sum(axis=1)
    counts = np.asarray(counts)
    last = counts.cumsum() - 1
    free = length - np.add.reduceat(taken, last + 1 - counts)
    if free.min() < 0:
        worst = free.argmin()
        used = length - free[worst]
        raise ValueError(f"{counts[worst]} fragments take {used} positions of {length}")
    _pad(parts, sizes, last, free, _padding(length, pad_id))

    # A fragment is a segment, and so is the padding behind it.
    lengths = np.stack([taken, sizes[:, -1]], axis=1).ravel()
    there = lengths.nonzero()[0]
    lengths = lengths[there]
    starts = lengths.cumsum() - lengths

    def of_segments(values: Sequence[int], of_padding: int) -> np.ndarray:
        """What each segment has: one of `values`, one a fragment, or that of padding."""
        both = np.full((len(taken), 2), of_padding)
        both[:, 0] = values
        return both.ravel()[there]

    size = len(counts) * length
    runs = sizes.ravel()
    labels = np.empty(size, np.int64)
    np.concatenate(list(compress(parts, runs.tolist())), out=labels)
    tokens = np.empty(size, np.int64)
    tokens[1:] = labels[:-1]
    tokens[starts] = of_segments(firsts, pad_id)
    counted = _counted(length)
    kinds = np.tile(_RUNS[width], len(taken))
    arrays = {
        "tokens": tokens,
        "labels": labels,
        "position_ids": np.concatenate([counted[:n] for n in lengths.tolist()]),
        "loss_mask": kind_weights(mask_loss, loss_weights)[kinds].repeat(runs),
        "group_ids": of_segments(groups, NO_GROUP).astype(np.int16).repeat(lengths),
        "label_kinds": kinds.repeat(runs),
    }
    return Block(
        **{name: array.reshape(len(counts), length) for name, array in arrays.items()},
        starts=starts,
        lengths=lengths,
        first_segments=[0, *(counts + (free > 0)).cumsum().tolist()],
    )


def _pad(
    parts: list[np.ndarray],
    sizes: np.ndarray,
    last: np.ndarray,
    free: np.ndarray,
    padding: np.ndarray,
) -> None:
    """Put `free` [n] positions of padding behind the `last` [n] fragments of the sequences.

    parts, sizes: of all fragments, as many of each; changed in place.
    """
    sizes[last, -1] = free
    places = ((last + 1) * sizes.shape[1] - 1).tolist()
    for place, positions in zip(places, free.tolist(), strict=True):
        parts[place] = padding[:positions]


@cache
def _padding(length: int, pad_id: int) -> np.ndarray:
    """int32 [length], read-only."""
    padding = np.full(length, pad_id, np.int32)
    padding.flags.writeable = False
    return padding


@cache
def _counted(length: int) -> np.ndarray:
    """0 to length - 1, int64, read-only."""
    counted = np.arange(length)
    counted.flags.writeable = False
    return counted
