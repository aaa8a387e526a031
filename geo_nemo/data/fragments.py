"""A document or a piece of one in a sequence, and many of them as an array."""

from functools import partial
from typing import NamedTuple

import numpy as np

from geo_nemo.config import MetadataPolicy
from geo_nemo.data.dropout import mask_dtype

# Columns of a store that a fragment has under their own names. Its other numbers are of itself, and
# a field of the user's own may be called as one of them.
COLUMNS = ("country", "host")


class Fragment(NamedTuple):
    """A document or a piece of one in a sequence.

    document: index into the split. start, stop: span of its body tokens; where `bare`, of the
        positions of the whole document as it is composed.
    title: title tokens shown. positions: places in the sequence. text, metadata: title and body
        tokens, and those of the metadata block, among its labels.
    host, country: indices of the document's, so that a loader need not hold these columns.
    kept: bit mask of the policy's fields that are shown (`data.dropout`). final: the document ends
        here.
    bare: a plain piece of a cut document, without a head of its own.
    """

    document: int
    start: int
    stop: int
    title: int
    positions: int
    text: int
    metadata: int
    host: int
    country: int
    kept: int
    final: bool
    bare: bool


_fragment = partial(tuple.__new__, Fragment)


def fragment_dtype(num_documents: int, seq_length: int, policy: MetadataPolicy) -> np.dtype:
    """`Fragment` as an element of an array.

    29 bytes where sequences have fewer than 65,536 tokens and the policy has at most eight fields.
    """
    document = "<u4" if num_documents <= 1 << 32 else "<u8"
    place = "<u2" if seq_length < 1 << 16 else "<u4"
    types = (document, "<u4", "<u4", *[place] * 4, "<u4", "<u2", mask_dtype(policy), "?", "?")
    return np.dtype(list(zip(Fragment._fields, types, strict=True)))


def fragments_of(records: np.ndarray) -> list[Fragment]:
    """The elements of an array of `fragment_dtype`."""
    # Not Fragment._make: it is Python, and rows from the array have their length.
    return list(map(_fragment, records.tolist()))
