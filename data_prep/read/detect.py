"""The format of a file: by its first bytes, and by its name where they do not tell."""

import re

from data_prep.read.formats import is_text, ours
from data_prep.read.record import DamagedError
from data_prep.read.unpack import Unpacked, compression_of

HEAD_BYTES = 512
UNKNOWN = "unknown"
_COMPRESSED = ("gz", "gzip", "zst", "zstd")
_DUCKDB, _DUCKDB_PLACE = b"DUCK", 8
_OTHERS = {
    b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\3\4": "zip", b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"ORC": "ORC", b"Obj\1": "Avro", b"%PDF": "PDF",
    b"PAR1": "Parquet", b"SQLite format 3": "SQLite", b"FEA1": "Feather of version 1",
    b"\x89HDF": "HDF5", b"\x93NUMPY": "NumPy's format", b"\xd0\xcf\x11\xe0": "a file of old Office",
    _DUCKDB: "a database of DuckDB", b"<stata_dta>": "a file of Stata", b"r\2\1": "a file of Stata",
    b"bplist00": "a web archive of Safari", b"\x1f\x9d": "compress", b"\xff\6\0\0sNaPpY": "snappy",
    b"X\n\0\0\0": "a file of R", b"RDX2\n": "a file of R", b"RDX3\n": "a file of R",
    b"$FL2@(#)": "a file of SPSS", b"$FL3@(#)": "a file of SPSS",
    **{bytes([0x80, version]): "a pickle" for version in (2, 3, 4, 5)},
}  # fmt: skip
# How to have what is in such a file, in words that work when typed.
_MENDS = {
    "bzip2": "bunzip2 it", "xz": "unxz it", "zip": "unzip it", "lz4": "unlz4 it",
    "7z": "7z x it", "rar": "unrar x it", "compress": "uncompress it", "snappy": "snzip -d it",
}  # fmt: skip
_MENDS |= {
    "an Excel workbook": "save it as CSV (UTF-8)", "a file of old Office": "save it as CSV (UTF-8)",
    "a database of DuckDB": "python -c 'import duckdb, sys; duckdb.connect(sys.argv[1])"
    """.sql("select * from " + sys.argv[2]).write_parquet(sys.argv[3])' FILE TABLE FILE.parquet""",
    "a file of Stata": "python -c 'import pandas, sys; pandas.read_stata(sys.argv[1])"
    ".to_parquet(sys.argv[2])' FILE.dta FILE.parquet",
    "a file of R": "Rscript -e 'arrow::write_parquet(readRDS(\"FILE.rds\"), \"FILE.parquet\")'",
    "a file of SPSS": "python -c 'import pandas, sys; pandas.read_spss(sys.argv[1])"
    ".to_parquet(sys.argv[2])' FILE.sav FILE.parquet",
    "a web archive of Safari": "textutil -convert html FILE.webarchive",
    "SQLite": "sqlite3 -header -csv FILE 'select * from TABLE' > FILE.csv",
    "Feather of version 1": "python -c 'import pyarrow.feather as f, sys; "
    "f.write_feather(f.read_table(sys.argv[1]), sys.argv[2])' FILE NEW.feather",
    "Avro": "python -c 'import polars, sys; polars.read_avro(sys.argv[1])"
    ".write_parquet(sys.argv[2])' FILE.avro FILE.parquet",
    "a pickle": "python -c 'import pandas, sys; pandas.read_pickle(sys.argv[1])"
    ".to_parquet(sys.argv[2])' FILE.pkl FILE.parquet",
}  # fmt: skip
# An object of JSON, or a list of them.
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[?\s*\{\s*\"(?:[^\"\\]|\\.){0,200}\"\s*:")
# What stands in the place of a large file that Git keeps elsewhere.
_POINTER = b"version https://git-lfs.github.com/spec/"
# Compressions whose files begin with no mark, by the endings of names.
_UNMARKED = {"br": ("brotli", "brotli -d it"), "lzma": ("lzma", "unlzma it")}
# Endings of files that may well hold records, and are refused by name in a folder, not passed over.
FOREIGN = frozenset((
    "bz2", "xz", "lzma", "lz4", "br", "sz", "z", "zip", "7z", "rar", "avro", "xls", "xlsx", "pkl",
    "pickle", "sqlite", "h5", "hdf5", "mhtml", "mht", "duckdb", "dta", "webarchive", "wacz", "rds",
    "rda", "rdata", "sav",
))  # fmt: skip
_MHTML = re.compile(rb"^(?:Snapshot-Content-Location|MIME-Version):", re.IGNORECASE | re.MULTILINE)
_XML = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:\?xml|rss|feed|mediawiki|nitf)")
_READABLE = (
    "JSON Lines, Parquet, Arrow, ORC, CSV, tar, WARC, WET, ARC and HTML, and gzip and zstd of them"
)


def format_of_name(name: str) -> str:
    """A format of ours by the ending of a file's name; `` where it has none that says anything of
    the format, `unknown` where it has another."""
    endings = name.lower().split(".")[1:]
    while endings and endings[-1] in _COMPRESSED:
        endings.pop()
    return _by_ending(endings[-1]) if endings else ""


def is_foreign(name: str) -> bool:
    """Whether a file's name ends as those of other formats of records do."""
    return name.lower().rpartition(".")[2] in FOREIGN


def _by_ending(ending: str) -> str:
    return next((name for name, kind in ours().items() if ending in kind.endings), UNKNOWN)


def detect(stream: Unpacked, name: str) -> str:
    """The format of a stream of bytes. DamagedError for what is none that can be read."""
    head = stream.peek(HEAD_BYTES)
    by_bytes = _by_bytes(head)
    if by_bytes and not (stream.compression or ours()[by_bytes].packed):
        return by_bytes
    refuse_foreign(stream)
    if by_bytes:
        return by_bytes
    by_name = format_of_name(name)
    if by_name in ours():
        if not ours()[by_name].packed:
            detail = f"its first bytes are not those of the format {by_name}"
            raise DamagedError("damaged_file", detail)
        return _of_text(head, by_name)
    if alike := _alike(head):
        return alike
    if _MHTML.search(head):
        raise DamagedError("unknown_format", "MHTML is not read: save pages as HTML")
    if _XML.match(head):
        raise DamagedError("unknown_format", f"XML is not read ({_READABLE} are)")
    if known := _UNMARKED.get(name.lower().rpartition(".")[2]):
        raise DamagedError("unknown_format", f"{known[0]} is not read: {known[1]}")
    raise DamagedError(
        "unknown_format",
        f"neither bytes nor name tell the format ({_READABLE} can be read): if it is one of them, "
        "add format=NAME to the command, such as format=csv",
    )


def detect_bytes(head: bytes, name: str) -> str:
    """The format of a file that is not compressed, by its first bytes or its name; or empty."""
    by_name = format_of_name(name)
    return _by_bytes(head) or (_of_text(head, by_name) if by_name in ours() else _alike(head))


def _of_text(head: bytes, named: str) -> str:
    """The format that a name tells; of JSON Lines and CSV the other one where only that fits."""
    if named == "csv":
        return "jsonl" if _OBJECT.match(head) else named
    exchanged = named == "jsonl" and not ours()[named].resembles(head)
    return "csv" if exchanged and ours()["csv"].resembles(head) else named


def _by_bytes(head: bytes) -> str:
    return next((name for name, kind in ours().items() if kind.begins(head)), "")


def _alike(head: bytes) -> str:
    return next((name for name, kind in ours().items() if kind.resembles(head)), "")


def refuse_foreign(stream: Unpacked) -> None:
    """Raise DamagedError where the first bytes are of a format that is not read."""
    head = stream.peek(HEAD_BYTES)
    if stream.compression and (inner := compression_of(head)):
        raise DamagedError(
            "nested_compression", f"{inner} inside {stream.compression}: unpack it once"
        )
    if head.startswith(_POINTER):
        raise DamagedError(
            "unknown_format", "a pointer of Git LFS, not the file itself: git lfs pull"
        )
    for mark, kind in _OTHERS.items():
        if kind != "PDF" and is_text(head):
            continue
        if head.startswith(mark, _DUCKDB_PLACE if mark == _DUCKDB else 0):
            if kind == "zip" and (b"[Content_Types].xml" in head or b"xl/" in head):
                kind = "an Excel workbook"
            # R itself packs its files.
            packed = stream.compression if kind != "a file of R" else ""
            inside = f" inside {packed}" if packed else ""
            mend = f": {_MENDS[kind]}" if kind in _MENDS and not inside else ""
            raise DamagedError(
                "unknown_format", f"{kind}{inside} is not read{mend} ({_READABLE} are)"
            )
