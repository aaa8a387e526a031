"""The formats that are read: how each is told from others, and what reads it.

A format's `marks` begin its files; where no marks tell, the `endings` of names do, and where these
do not either, `resembles` may. The modules that read are imported when they are asked for.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import ClassVar, Protocol

from data_prep.config.kinds import READERS
from data_prep.read.opened import Opened
from data_prep.read.record import Bad, Raw

_PAGE = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--(?:(?!-->).){0,300}-->\s*)*"
    rb"<(?:!doctype\s+html|html|head)",
    re.IGNORECASE | re.DOTALL,
)
_CONTROL = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b\x1e\x1f"})
TAR_MARK, TAR_PLACE = b"ustar", 257
SETTING = "input.format"
_LONGEST_MARK = 16


class Reader(Protocol):
    """Reads files of one format; made for each file, with the source's `options` by name."""

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        """The records, up to the end or to where the file is damaged. Raises DamagedError where
        nothing can be read on."""
        ...


class Format:
    """A format of ours.

    endings: of file names. marks: what its files begin with. packed: whether it may be compressed.
    only_datasets: its folders are those that `save_to_disk` of Hugging Face writes.
    """

    endings: ClassVar[tuple[str, ...]] = ()
    marks: ClassVar[tuple[bytes, ...]] = ()
    packed: ClassVar[bool] = True
    only_datasets: ClassVar[bool] = False

    @classmethod
    def begins(cls, head: bytes) -> bool:
        """Whether a file that begins with `head` is of the format."""
        return bool(cls.marks) and head.startswith(cls.marks)

    @classmethod
    def resembles(cls, head: bytes) -> bool:
        """Whether it may well be, where neither marks nor names tell."""
        return False

    @classmethod
    def pieces(cls, head: bytes, encoding: str | None) -> str:
        """How a file that is not compressed can be cut, of data_prep.read.borders; empty: not."""
        return ""


def is_text(head: bytes) -> bool:
    """Whether nothing in the first bytes of a file speaks against text, as of a table whose first
    column is `ORCID`."""
    return len(head) > _LONGEST_MARK and len(head.translate(None, _CONTROL)) == len(head)


class Binary(Format):
    """One whose marks are letters, and whose files hold more than that."""

    packed = False

    @classmethod
    def begins(cls, head: bytes) -> bool:
        return super().begins(head) and not is_text(head)


class Parquet(Binary):
    endings = ("parquet", "pq", "parq")
    marks = (b"PAR1", b"PARE")  # the second where it is encrypted

    @classmethod
    def pieces(cls, head: bytes, encoding: str | None) -> str:
        return "groups"

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.parquet import read_parquet

        file.count = [0]
        span = file.piece[1:] if file.piece else (0, file.size)
        return read_parquet(file.source, file.size, span, file.fields, file.limits, file.count)


class Orc(Binary):
    endings = ("orc",)
    marks = (b"ORC",)

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.orc import read_orc

        file.count = [0]
        return read_orc(file.source, file.fields, file.limits, file.count)


class Arrow(Format):
    endings = ("arrow", "arrows", "ipc", "feather")
    marks = (b"ARROW1", b"\xff\xff\xff\xff")

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.arrow import read_arrow

        return read_arrow(file.stream, file.fields, file.limits, file.source)


class Dataset(Arrow):
    endings = marks = ()
    only_datasets = True


class Warc(Format):
    endings = ("warc",)
    marks = (b"WARC/",)
    kinds: ClassVar[tuple[str, ...]] = ("response", "resource")

    @classmethod
    def pieces(cls, head: bytes, encoding: str | None) -> str:
        return "records"

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.warc import read_warc

        kinds = (*Warc.kinds, *Wet.kinds) if file.found else self.kinds
        return read_warc(file.stream, file.fields, file.limits, kinds)


class Wet(Warc):
    endings = ("wet",)
    marks = ()
    kinds = ("conversion",)


class Arc(Format):
    endings = ("arc",)
    marks = (b"filedesc:",)

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.arc import read_arc

        return read_arc(file.stream, file.fields, file.limits)


class WebDataset(Format):
    endings = ("tar", "tgz")

    @classmethod
    def begins(cls, head: bytes) -> bool:
        return head.startswith(TAR_MARK, TAR_PLACE)

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.webdataset import read_webdataset

        return read_webdataset(file.stream, file.fields, file.limits)


class JsonLines(Format):
    endings = ("jsonl", "json", "ndjson", "jsonlines", "jl", "ldjson")

    @classmethod
    def resembles(cls, head: bytes) -> bool:
        # UTF-16 and UTF-32 have zeros beside the letters of ASCII.
        start = head.translate(None, b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
        return start.startswith((b"{", b"[{"))

    @classmethod
    def pieces(cls, head: bytes, encoding: str | None) -> str:
        from data_prep.read.encoding import find_encoding
        from data_prep.read.jsonl import has_lines

        plain = encoding in (None, "utf-8", "utf8") and not find_encoding(head)[0]
        objects = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and has_lines(head)
        return "lines" if plain and objects else ""

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.encoding import as_utf8
        from data_prep.read.jsonl import read_jsonl

        # What the start of the file has told holds for its pieces, whatever they begin with.
        known = file.encoding or ("utf-8" if file.piece else None)
        text, file.note = as_utf8(file.stream, known)
        return read_jsonl(text, file.fields, file.limits, lines=bool(file.piece))


class Csv(Format):
    endings = ("csv", "tsv", "tab", "psv")

    @classmethod
    def resembles(cls, head: bytes) -> bool:
        from data_prep.read.delimited import looks_like_csv

        return looks_like_csv(head)

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.delimited import read_csv
        from data_prep.read.encoding import as_utf8

        text, file.note = as_utf8(file.stream, file.encoding)
        return read_csv(text, file.fields, file.limits)


class Page(Format):
    endings = ("html", "htm", "xhtml")

    @classmethod
    def resembles(cls, head: bytes) -> bool:
        return bool(_PAGE.match(head))

    def read(self, file: Opened) -> Iterator[Raw | Bad]:
        from data_prep.read.page import read_page

        return read_page(file.stream, file.path, file.fields, file.limits)


@cache
def ours() -> dict[str, type[Format]]:
    """Our formats by name."""
    here = globals()
    return {name: here[target.partition(":")[2]] for name, target in READERS.known.items()}
