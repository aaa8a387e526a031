"""Records of WebDataset shards: tar archives whose members with the same key are one record.

The key is a member's path up to the first dot of its file name; the rest is what it holds:
    .json                an object; its fields go through the field map
    .txt                 the text
    .title .url .id .country .continent .date .language .quality
                         our field of that name, as text; white space around it is dropped
    .topic               a field of the user's own, by its name or that of its column; as text
A member of its own wins over the same field in `.json`. A record without an id has its key for one.
Members of other names, such as `.jpg`, are passed over; one that is itself a file of records, as
`.jsonl`, and stands alone is named as lost.
"""

import re
from collections.abc import Iterator

from data_prep.config import FieldMap, Limits
from data_prep.read.fields import EXTRA, Fields
from data_prep.read.jsonl import kind_of, loads_leniently, picked
from data_prep.read.record import EXCERPT_BYTES, Bad, DamagedError, Raw
from data_prep.read.tar import Member, Tar
from data_prep.read.unpack import Unpacked

# What macOS puts beside files: it stands between the members of a record.
_OF_MACOS = re.compile(r"(?:^|/)(?:\._|\.DS_Store$|__MACOSX/)")
_FIELDS = {"txt": "text"} | {name: name for name in FieldMap().built_in if name != "text"}
_FIELDS |= {name: name for name in ("language", "quality")}
# Endings of files of other formats, which hold records themselves.
OF_FILES = frozenset((
    "parquet", "pq", "parq", "orc", "arrow", "arrows", "ipc", "feather", "warc", "wet", "arc",
    "tar", "tgz", "jsonl", "ndjson", "jsonlines", "jl", "ldjson", "csv", "tsv", "tab", "psv",
    "html", "htm", "xhtml",
))  # fmt: skip


def read_webdataset(stream: Unpacked, fields: Fields, limits: Limits) -> Iterator[Raw | Bad]:
    """One record a key; members that are refused come as `Bad` with the number of their record."""
    tar = Tar(stream)
    sample: _Sample | None = None
    number = 0
    endings = _FIELDS | _own_endings(fields)
    try:
        for member in tar:
            if _OF_MACOS.search(member.name) and not member.refused:
                continue
            key, ending = _split(member.name)
            if sample is None or key != sample.key:
                if sample is not None:
                    yield sample.record(fields)
                number += 1
                sample = _Sample(number, key, endings)
            if member.refused:
                detail = f"member {member.name[:200]!r} is refused: {member.refused}"
                yield Bad(number, "unsafe_member", detail)
            elif ending == "json" or ending in endings:
                sample.add(tar, member, ending, limits.record_bytes)
            elif ending.rpartition(".")[2] in ("gz", "zst", "bz2", "xz"):
                sample.fail("nested_compression", f"member {member.name[:200]!r}: unpack it")
            elif ending.rpartition(".")[2] in OF_FILES:
                sample.file = sample.file or member.name
    except DamagedError as damage:
        # The record at hand may lack members that were to come.
        yield Bad(max(number, 1), damage.reason, damage.detail)
        return
    if sample is not None:
        yield sample.record(fields)
    elif tar.trailing is None:
        yield Bad(0, "empty_file", "the archive holds no records")
    if tar.trailing is not None:
        yield Bad(number + 1, tar.trailing.reason, tar.trailing.detail)


class _Sample:
    """The members of one key so far."""

    def __init__(self, number: int, key: str, endings: dict[str, str]):
        self.number = number
        self.key = key
        self._endings = endings
        self._parts: dict[str, bytes] = {}
        self._bytes = 0
        self._bad: tuple[str, str] | None = None
        self.file = ""  # the name of a member that is itself a file of records

    def fail(self, reason: str, detail: str) -> None:
        """Make it no record; the first reason counts."""
        self._bad = self._bad or (reason, detail)
        self._parts = {}

    def add(self, tar: Tar, member: Member, ending: str, limit: int) -> None:
        self._bytes += member.size
        if ending in self._parts:
            self.fail("duplicate_member", f"two members {member.name[:200]!r}")
        elif self._bytes > limit:
            self.fail("record_too_long", f"{self._bytes} bytes up to {member.name[:200]!r}")
        elif self._bad is None:
            self._parts[ending] = tar.read()

    def record(self, fields: Fields) -> Raw | Bad:
        head = next(iter(self._parts.values()), b"")[:EXCERPT_BYTES]
        if self._bad is not None:
            return Bad(self.number, *self._bad, head or self.key.encode()[:EXCERPT_BYTES])
        if self.file and not self._parts:
            why = f"member {self.file[:200]!r} is itself a file of records: tar -xf FILE"
            return Bad(self.number, "unknown_format", why)
        try:
            return Raw(self.number, self._fields(fields), head)
        except DamagedError as bad:
            return Bad(self.number, bad.reason, bad.detail, head)

    def _fields(self, fields: Fields) -> dict:
        found = {}
        if "json" in self._parts:
            data = self._parts["json"].removeprefix(b"\xef\xbb\xbf")
            record = loads_leniently(data)
            if not isinstance(record, dict):
                raise DamagedError("wrong_type", f".json is {kind_of(record)}")
            (found,) = picked([record], data, fields.pick)
        for ending, data in self._parts.items():
            if ending != "json":
                try:
                    text = data.decode("utf-8-sig")
                except UnicodeDecodeError as error:
                    detail = f".{ending}: byte {error.start}: {error.reason}"
                    raise DamagedError("invalid_utf8", detail) from None
                ours = self._endings[ending]
                found[ours] = text if ours == "text" else text.strip()
        return found if "id" in found else found | {"id": self.key}


def _own_endings(fields: Fields) -> dict[str, str]:
    own = {ours: theirs for ours, theirs in fields.names.items() if ours.startswith(EXTRA)}
    by_column = {theirs.lower(): ours for ours, theirs in own.items()}
    by_name = {ours.removeprefix(EXTRA): ours for ours in own}
    return {name: ours for name, ours in (by_column | by_name).items() if name not in _FIELDS}


def _split(name: str) -> tuple[str, str]:
    folder, slash, file = name.removeprefix("./").rpartition("/")
    key, _, ending = file.partition(".")
    return folder + slash + key, ending.lower()
