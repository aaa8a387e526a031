"""What a reader is given and gives: a file of input, a record, a record that cannot be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson

from data_prep.config import Source
from data_prep.quarantine import Rejected

EXCERPT_BYTES = 300


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a source, as it was when it was listed.

    piece: how it is cut, and the first byte and the one behind the last, of one of its pieces;
        see data_prep.read.pieces.
    size: bytes of the file itself. version: time of its last change, mtime_ns here and seconds on
    `s3://`; a file that has another when it is read is a UserError.
    """

    path: str
    size: int
    version: str
    source: Source
    piece: tuple[str, int, int] | None = None


class Raw(NamedTuple):
    """A record whose fields have our names; a field that is absent or null is not in it.

    number: of the line, row, sample or WARC record in its file, from 1.
    fields: values of JSON's types. head: first bytes of the record where it is text.
    """

    number: int
    fields: dict[str, Any]
    head: bytes = b""

    @property
    def excerpt(self) -> bytes:
        """At most 300 bytes to show a person."""
        if self.head:
            return self.head
        try:
            return orjson.dumps(self.fields, default=str)[:EXCERPT_BYTES]
        except TypeError:  # a number of more than 64 bits, half a character
            return repr(self.fields)[:EXCERPT_BYTES].encode("utf-8", "replace")[:EXCERPT_BYTES]


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that cannot be read; number 0 is the file itself.

    reason: a key of data_prep.quarantine.REASONS.
    """

    number: int
    reason: str
    detail: str
    excerpt: bytes = b""


class RecordReader(Protocol):
    """The records of one file, once. Iteration raises UserError for what only the user can mend.

    bytes_read: bytes of the file itself, so far and in the end.
    text_bytes: bytes after decompression; of the columns that were read, where there are columns.
    digest: xxh3-128 of the bytes of the file, in hex; after iteration.
    seen: what the file calls the fields of its records; after the first one.
    note: what to tell of how it was read, such as its encoding; empty as a rule.
    """

    bytes_read: int
    text_bytes: int
    digest: str
    seen: tuple[str, ...]
    note: str

    def __iter__(self) -> Iterator[Raw | Bad]: ...

    def explained(self, verdict: Rejected) -> Rejected: ...


class DamagedError(Exception):
    """Data that cannot be read on; `reason` is a key of data_prep.quarantine.REASONS."""

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def shown(path: str) -> str:
    """`path` as a message shows it: printable, on one line."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text if text.isprintable() else repr(text)[1:-1]
