"""The packing of a run by name; one from outside is checked, and what goes wrong names it."""

import json

import numpy as np

from geo_nemo.common.errors import RunError
from geo_nemo.config import Data
from geo_nemo.config.kinds import PACKINGS
from geo_nemo.config.plugins import blaming
from geo_nemo.data.packing import DocumentLengths, Fragments, Packing

SETTING = "data.packing"
_MEND = f"mend it, or give another {SETTING}, then run the same command again"
_Packed = tuple[Fragments, np.ndarray, int]


def make_packing(data: Data) -> Packing:
    """What `data.packing` names. Raises UserError where it cannot be had."""
    given = (data.seq_length, data.prefix_fragments)
    if data.packing in PACKINGS.known:
        return PACKINGS.load(data.packing, SETTING)(*given)
    made = PACKINGS.make(data.packing, SETTING, *given, options=data.packing_options)
    return Brought(data.packing, made, data.seq_length)


def packing_identity(data: Data) -> str:
    """The name of the packing; of one from outside, its version and options too."""
    who = PACKINGS.brought(data.packing, SETTING)
    options = json.dumps(data.model_dump(mode="json")["packing_options"], sort_keys=True)
    return f"{data.packing} {who} {options}" if who else data.packing


class Brought:
    """Holds a packing from outside.

    Every window that it packs is checked: each token of each document stands in one place, and no
    sequence is longer than it may be.
    """

    def __init__(self, name: str, held: Packing, seq_length: int):
        self.name, self._held, self._seq_length = name, held, seq_length

    def pack(self, lengths: DocumentLengths) -> _Packed:
        with blaming(f"the packing {self.name}", _MEND):
            fragments, sequence_of, num_sequences = self._held.pack(lengths)
            fragments, sequence_of, num_sequences = (
                _arrays(fragments),
                _whole(sequence_of),
                int(num_sequences),
            )
            wrong = wrong_with(lengths, fragments, sequence_of, num_sequences, self._seq_length)
        if wrong:
            raise RunError(f"the packing {self.name} {wrong}; {_MEND}")
        return fragments, sequence_of, num_sequences


def wrong_with(
    lengths: DocumentLengths,
    cut: Fragments,
    sequence_of: np.ndarray,
    num_sequences: int,
    seq_length: int,
) -> str:
    """The first thing that is wrong with packed documents, in words; empty: nothing."""
    sizes = {len(column) for column in vars(cut).values()} | {len(sequence_of)}
    if len(sizes) > 1:
        return f"gives columns of {sorted(sizes)} elements"
    documents = len(lengths.body)
    if ((cut.document < 0) | (cut.document >= documents)).any():
        return f"gives a fragment of document {_first(cut.document, documents)} of {documents}"
    if ((sequence_of < 0) | (sequence_of >= num_sequences)).any():
        return (
            f"puts a fragment into sequence {_first(sequence_of, num_sequences)} of {num_sequences}"
        )
    if num_sequences != len(np.unique(sequence_of)):
        empty = num_sequences - len(np.unique(sequence_of))
        return f"leaves {empty} of {num_sequences} sequences empty"
    if problem := _not_once(lengths, cut):
        return problem
    expected = _positions(lengths, cut)
    if (bad := np.flatnonzero(cut.positions != expected)).size:
        at = bad[0]
        return (
            f"says that a fragment of document {cut.document[at]} takes {cut.positions[at]} "
            f"positions, and it takes {expected[at]}"
        )
    filled = np.bincount(sequence_of, cut.positions, minlength=num_sequences)
    if (filled > seq_length).any():
        sequence = int(filled.argmax())
        return (
            f"puts {int(filled[sequence])} positions into sequence {sequence}, and "
            f"data.seq_length is {seq_length}"
        )
    return ""


def _not_once(lengths: DocumentLengths, cut: Fragments) -> str:
    """Says which document does not stand in its fragments whole and once."""
    order = np.lexsort((cut.start, cut.document))
    document, start, stop = cut.document[order], cut.start[order], cut.stop[order]
    final, bare, title = cut.final[order], cut.bare[order], cut.title[order]
    present = np.bincount(document, minlength=len(lengths.body))
    if (absent := np.flatnonzero(present == 0)).size:
        return f"loses document {absent[0]} of {len(lengths.body)}"
    first = np.r_[True, document[1:] != document[:-1]][: len(document)]
    last = np.r_[first[1:], True][: len(document)]
    end = np.where(bare, lengths.positions[document], lengths.body[document])
    before = np.r_[0, stop[:-1]][: len(document)]
    joined = np.r_[False, bare[1:] == bare[:-1]][: len(document)]
    whole = first & last & (end == 0)
    wrong = {
        "doubles or loses tokens": start != np.where(first, 0, before),
        "mixes bare and headed fragments": ~first & ~joined,
        "gives an empty fragment": (stop <= start) & ~whole,
        "doubles or loses tokens at the end": last & (stop != end),
        "ends other than at its last fragment": final != last,
        "shows a title that is not there": (title < 0)
        | (title > np.where(first & ~bare, lengths.title[document], 0)),
    }
    for what, where in wrong.items():
        if where.any():
            return f"{what} of document {document[where.argmax()]}"
    return ""


def _positions(lengths: DocumentLengths, cut: Fragments) -> np.ndarray:
    """What each fragment takes, int64 [m]."""
    of, first = cut.document, (cut.start == 0) & ~cut.bare
    tokens = lengths.head[of] + np.where(first, lengths.title_label[of] + cut.title, 0)
    tokens += cut.stop - cut.start + np.where(cut.final, lengths.tail[of], 0)
    return np.where(cut.bare, cut.stop - cut.start, tokens - 1)


def _arrays(fragments: Fragments) -> Fragments:
    flags = ("final", "bare")
    columns = {
        name: np.asarray(column, bool) if name in flags else _whole(column)
        for name, column in vars(fragments).items()
    }
    return Fragments(**columns)


def _whole(column: np.ndarray) -> np.ndarray:
    """int64 [m]. TypeError for another type, ValueError for another shape."""
    found = np.asarray(column)
    if found.ndim != 1:
        raise ValueError(f"an array of shape {found.shape}, not of one dimension")
    return found.astype(np.int64, casting="safe") if len(found) else found.astype(np.int64)


def _first(values: np.ndarray, end: int) -> int:
    return int(values[(values < 0) | (values >= end)][0])
