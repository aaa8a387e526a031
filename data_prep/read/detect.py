"""The format of a file: by its first bytes, and by its name where they do not tell."""

import re

from data_prep.config import Format
from data_prep.read.record import DamagedError
from data_prep.read.unpack import Unpacked, compression_of

HEAD_BYTES = 512
_ENDINGS: dict[str, str] = {
    "jsonl": "jsonl", "json": "jsonl", "ndjson": "jsonl",
    "parquet": "parquet", "pq": "parquet",
    "arrow": "arrow", "ipc": "arrow", "feather": "arrow",
    "csv": "csv", "tsv": "csv",
    "tar": "webdataset", "tgz": "webdataset",
    "warc": "warc", "wet": "wet", "arc": "arc",
    "html": "html", "htm": "html", "xhtml": "html",
}  # fmt: skip
_COMPRESSED = ("gz", "gzip", "zst", "zstd")
_OTHERS = {
    b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\3\4": "zip", b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"ORC": "ORC", b"Obj\1": "Avro", b"%PDF": "PDF",
    b"PAR1": "Parquet", b"\x80\4": "a pickle", b"SQLite format 3": "SQLite",
}  # fmt: skip
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html|head)", re.IGNORECASE)
_READABLE = (
    "JSON Lines, Parquet, Arrow, CSV, tar, WARC, WET, ARC and HTML, and gzip and zstd of them"
)


def format_of_name(name: str) -> str:
    """A Format by the ending of a file's name; `` where it has none that says anything of the
    format, `unknown` where it has another."""
    endings = name.lower().split(".")[1:]
    while endings and endings[-1] in _COMPRESSED:
        endings.pop()
    return _ENDINGS.get(endings[-1], "unknown") if endings else ""


def detect(stream: Unpacked, name: str) -> Format:
    """The format of a stream of bytes. DamagedError for what is none that can be read."""
    head = stream.peek(HEAD_BYTES)
    if not stream.compression and head.startswith(b"PAR1"):
        return "parquet"
    refuse_foreign(stream)
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    if head.startswith(b"WARC/"):
        return "warc"
    if head.startswith(b"filedesc:"):
        return "arc"
    if head[257:262] == b"ustar":
        return "webdataset"
    by_name = format_of_name(name)
    if by_name == "parquet":
        raise DamagedError("damaged_file", "its first bytes are not those of a Parquet file")
    if by_name not in ("", "unknown"):
        return by_name
    # UTF-16 and UTF-32 have zeros beside the letters of ASCII.
    if head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"{"):
        return "jsonl"
    if _PAGE.match(head):
        return "html"
    raise DamagedError(
        "unknown_format", f"neither bytes nor name tell the format ({_READABLE} can be read)"
    )


def detect_bytes(head: bytes, name: str) -> str:
    """The format of a file that is not compressed, by its first bytes or its name; or empty."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"WARC/"):
        return "warc"
    by_name = format_of_name(name)
    known = by_name not in ("", "unknown")
    return by_name if known else "jsonl" if head.lstrip(b" \t\r\n").startswith(b"{") else ""


def refuse_foreign(stream: Unpacked) -> None:
    """Raise DamagedError where the first bytes are of a format that is not read."""
    head = stream.peek(HEAD_BYTES)
    if stream.compression and (inner := compression_of(head)):
        raise DamagedError(
            "nested_compression", f"{inner} inside {stream.compression}: unpack it once"
        )
    for mark, kind in _OTHERS.items():
        if head.startswith(mark):
            inside = f" inside {stream.compression}" if stream.compression else ""
            raise DamagedError("unknown_format", f"{kind}{inside} is not read ({_READABLE} are)")
