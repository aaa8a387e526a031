"""The packing index: the fragments of every sequence of a stage, planned once and memory-mapped.

    <folder>/fragments.bin  array of `fragment_dtype`, ordered by sequence
    <folder>/rows.bin       int64 [sequences + 1]: sequence s is rows[s] to rows[s + 1]
    <folder>/windows.bin    array of `WINDOW`: what each packing window added
    <folder>/ledger.bin     int64 [windows + 1, groups, 4]: `LEDGER` of all sequences before a
                            window, where groups are many before every so many (`ledger_stride`)
    <folder>/shown.bin      int64 [windows + 1, 3, 4]: the same by how documents are shown
                            (`dropout.SHOWN`); indices of before there was more than one way lack it
    <folder>/index.json     written last: what it was made from, counts, sizes and hashes

About 29 bytes a fragment on disk; a process holds only the pages that it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from geo_nemo.common.digests import file_digest
from geo_nemo.common.mapped import mapped
from geo_nemo.common.parse import parse_json
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.data.dropout import SHOWN, shown
from geo_nemo.data.fragments import Fragment, fragments_of
from geo_nemo.data.window import Counts

FORMAT = 2
NAME = "index.json"
FILES = ("fragments.bin", "rows.bin", "windows.bin", "ledger.bin", "shown.bin")
_LATER = ("shown.bin",)
# The first sequence and fragment of a window, and the hash of its sequences and fragments.
WINDOW = np.dtype([("sequence", "<i8"), ("fragment", "<i8"), ("hash", "<u8")])
# Documents begun, filled positions, and what their labels are: title and body tokens, metadata.
LEDGER = ("documents", "positions", "text_tokens", "metadata_tokens")
_GROUPS_A_WINDOW = 4096
_COUNTED_AT_ONCE = 1 << 20
# From an array of fragments [m] to the group of each, int [m].
GroupOf = Callable[[np.ndarray], np.ndarray]


def by_country(fragments: np.ndarray) -> np.ndarray:
    """The country of each."""
    return fragments["country"]


class DamagedIndex(Exception):
    """An index that cannot be used; the message says why, without the folder."""


def tally(fragments: np.ndarray, groups: np.ndarray, num_groups: int) -> np.ndarray:
    """`LEDGER` of some fragments by group, int64 [groups, 4]. groups: of each fragment, [m]."""
    # Sums of one window stay below 2^53, so that bincount's floats are exact.
    begun = fragments["start"] == 0
    columns = (begun, *(fragments[name] for name in ("positions", "text", "metadata")))
    sums = [np.bincount(groups, column, minlength=num_groups) for column in columns]
    return np.stack(sums, axis=1).astype(np.int64)


def ledger_stride(num_groups: int) -> int:
    """Windows between two sums that an index keeps, so that they take no more than fragments do."""
    return max(1, num_groups // _GROUPS_A_WINDOW)


@dataclass(frozen=True)
class Parts:
    """The arrays of an index, as in the files."""

    fragments: np.ndarray
    sequences: np.ndarray
    windows: np.ndarray
    ledger: np.ndarray
    shown: np.ndarray | None = None


class Index:
    """Sequences of fragments.

    counts: of all windows; the last may hold more sequences than are used. documents: distinct ones
    that the stage draws from.
    """

    def __init__(self, parts: Parts, counts: Counts, documents: int, folder: Path | None = None):
        self.counts = counts
        self.documents = documents
        self._parts = parts
        self._folder = folder
        # A window is compared with its hash when it is first read; in memory there is no need.
        self._checked = np.full(len(parts.windows), folder is None)
        self._current = range(0)

    def __len__(self) -> int:
        return len(self._parts.sequences) - 1

    @property
    def num_windows(self) -> int:
        """Packing windows that the sequences come from."""
        return len(self._parts.windows)

    def sequence(self, number: int) -> list[Fragment]:
        """The fragments of sequence `number`; `UserError` where the file was changed."""
        if number not in self._current:
            self._enter(number)
        sequences = self._parts.sequences
        return fragments_of(
            self._parts.fragments[int(sequences[number]) : int(sequences[number + 1])]
        )

    def window_sequences(self, window: int) -> range:
        """The numbers of a window's sequences."""
        starts = self._parts.windows["sequence"]
        last = window + 1 == len(starts)
        return range(int(starts[window]), len(self) if last else int(starts[window + 1]))

    def ledger(self, sequences: int, group_of: GroupOf = by_country) -> np.ndarray:
        """`LEDGER` of the first `sequences` sequences by group, int64 [groups, 4].

        group_of: of some fragments, as when the index was made.
        """
        num_groups = self._parts.ledger.shape[1]
        return self._sums(self._parts.ledger, ledger_stride(num_groups), sequences, group_of)

    def shown(self, sequences: int, policy: MetadataPolicy) -> np.ndarray:
        """`LEDGER` of the first `sequences` sequences by `dropout.SHOWN`, int64 [3, 4]. policy: of
        the stage.

        An index that does not keep it is read through.
        """

        def shown_of(fragments: np.ndarray) -> np.ndarray:
            return shown(policy, fragments["kept"])

        if self._parts.shown is not None:
            return self._sums(self._parts.shown, 1, sequences, shown_of)
        total = np.zeros((len(SHOWN), len(LEDGER)), np.int64)
        for part in self.fragments(0, sequences):
            total += tally(part, shown_of(part), len(SHOWN))
        return total

    def fragments(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """The fragments of sequences `start` to `stop`, a million at a time."""
        first, last = (int(self._parts.sequences[number]) for number in (start, stop))
        for here in range(first, last, _COUNTED_AT_ONCE):
            yield self._parts.fragments[here : min(here + _COUNTED_AT_ONCE, last)]

    def sequences_with(
        self, documents: np.ndarray, sequences: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of the first `sequences`: which of `documents` stand in which, int64 [m] and int64 [m].

        A document that is cut, or drawn again, comes once a sequence.
        """
        borders = self._parts.sequences[: sequences + 1]
        wanted = np.sort(documents)
        found: list[np.ndarray] = [np.empty(0, np.int64)]
        places: list[np.ndarray] = [np.empty(0, np.int64)]
        for first in range(0, int(borders[-1]), _COUNTED_AT_ONCE):
            last = min(first + _COUNTED_AT_ONCE, int(borders[-1]))
            part = self._parts.fragments["document"][first:last].astype(np.int64)
            at = np.flatnonzero(np.isin(part, wanted))
            found.append(part[at])
            places.append(np.searchsorted(borders, first + at, side="right") - 1)
        both = np.stack([np.concatenate(places), np.concatenate(found)], axis=1)
        both = np.unique(both, axis=0)
        return both[:, 1], both[:, 0]

    def mark_documents(self, sequences: int, marks: np.ndarray) -> None:
        """Set `marks`, bool [documents of the split], of those in the first `sequences`."""
        for part in self.fragments(0, sequences):
            marks[part["document"]] = True

    def _sums(self, kept: np.ndarray, stride: int, sequences: int, of: GroupOf) -> np.ndarray:
        """Of the first `sequences` sequences, from sums that are kept every `stride` windows."""
        if sequences == 0 or not len(self):
            return np.zeros(kept.shape[1:], dtype=np.int64)
        place = self._window_of(sequences - 1) // stride
        first = self._parts.sequences[self.window_sequences(place * stride).start]
        part = self._parts.fragments[int(first) : int(self._parts.sequences[sequences])]
        return kept[place] + tally(part, of(part), kept.shape[1])

    def _window_of(self, sequence: int) -> int:
        return int(np.searchsorted(self._parts.windows["sequence"], sequence, side="right")) - 1

    def _enter(self, sequence: int) -> None:
        window = self._window_of(sequence)
        sequences = self.window_sequences(window)
        if not self._checked[window]:
            first, last = (
                self._parts.sequences[sequences.start],
                self._parts.sequences[sequences.stop],
            )
            fragments = self._parts.fragments[int(first) : int(last)]
            sizes = np.diff(self._parts.sequences[sequences.start : sequences.stop + 1])
            if block_hash(fragments, sizes) != int(self._parts.windows["hash"][window]):
                raise UserError(
                    f"{self._folder} was changed after it was made: remove the folder and start "
                    f"again; the index is then made anew"
                )
            self._checked[window] = True
        self._current = sequences


def block_hash(fragments: np.ndarray, sequence_sizes: np.ndarray) -> int:
    """64-bit hash of a window's sequences."""
    digest = xxhash.xxh3_64(np.ascontiguousarray(fragments).view(np.uint8))
    digest.update(np.ascontiguousarray(sequence_sizes, dtype="<i8"))
    return digest.intdigest()


def open_index(
    folder: Path,
    description: dict[str, Any],
    dtype: np.dtype,
    num_groups: int,
    check_content: bool,
) -> Index | None:
    """The index in `folder`, mapped; None where there is none.

    check_content: compare every file with its hash; otherwise sizes alone.
    Raises `DamagedIndex` for one that is not whole, or was made from something else.
    """
    try:
        record = parse_json((folder / NAME).read_bytes())
    except FileNotFoundError:
        if folder.exists():
            raise DamagedIndex(f"{NAME} is missing") from None
        return None
    except (OSError, ValueError) as error:
        raise DamagedIndex(f"{NAME} cannot be read: {error}") from None
    try:
        if record["format"] != FORMAT or record["made_from"] != description:
            raise DamagedIndex("it was made from something else")
        if record.pop("check") != record_check(record):
            raise DamagedIndex(f"{NAME} was changed")
        counts, documents = Counts.of_file(record["counts"]), int(record["documents"])
        names = [name for name in FILES if name not in _LATER or name in record["files"]]
        for name in names:
            entry = record["files"][name]
            _check_file(folder / name, entry["bytes"], entry["xxh3_128"], check_content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedIndex(f"{NAME} is no index: {error}") from None
    fragments, sequences, windows, ledger = (
        mapped(folder / name, kind)
        for name, kind in zip(FILES, (dtype, "<i8", WINDOW, "<i8"), strict=False)
    )
    ways = None
    if "shown.bin" in names:
        ways = mapped(folder / "shown.bin", "<i8").reshape(-1, len(SHOWN), len(LEDGER))
    if len(sequences) != counts.sequences + 1 or len(fragments) != counts.fragments:
        raise DamagedIndex("its files do not agree")
    kept = len(windows) // ledger_stride(num_groups) + 1
    ledger = ledger.reshape(kept, num_groups, len(LEDGER))
    return Index(Parts(fragments, sequences, windows, ledger, ways), counts, documents, folder)


def record_check(record: dict[str, Any]) -> str:
    """Hash of what index.json says, which stands in it too."""
    return xxhash.xxh3_64_hexdigest(json.dumps(record, sort_keys=True).encode())


def _check_file(path: Path, size: int, digest: str, check_content: bool) -> None:
    try:
        if path.stat().st_size != size:
            raise DamagedIndex(f"{path.name} has another size")
        found = file_digest(path) if check_content else digest
    except OSError as error:
        raise DamagedIndex(f"{path.name} cannot be read: {error.strerror}") from None
    if found != digest:
        raise DamagedIndex(f"{path.name} does not match its hash")


def as_entry(sums: np.ndarray) -> dict[str, int] | None:
    """`LEDGER` of one group by its names, int64 [4]; None where nothing of it was seen."""
    return dict(zip(LEDGER, sums.tolist(), strict=True)) if sums.any() else None
