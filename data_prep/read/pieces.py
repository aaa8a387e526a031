"""One large file for many workers: pieces of it that begin where records do.

A piece is a range of bytes; its records are those that begin in it. JSON Lines are cut at line
ends, WARC and WET at records, and where each record is a gzip member (as Common Crawl's are) at
members, Parquet at row groups. Other files stay whole: nothing tells where their records begin.
"""

import itertools
from dataclasses import replace
from functools import lru_cache

from data_prep.config.input import AUTO
from data_prep.read.borders import is_record, next_member
from data_prep.read.detect import detect_bytes
from data_prep.read.encoding import LOOKED_AT
from data_prep.read.formats import ours
from data_prep.read.record import InputFile
from data_prep.read.s3 import SCHEME, S3Buckets
from data_prep.read.unpack import GZIP_MAGIC, ZSTD_MAGIC
from geo_nemo.common.errors import UserError


def pieces(file: InputFile, most: int) -> list[InputFile]:
    """`file` itself where it has at most `most` bytes or cannot be cut; else its pieces."""
    given = file.source.format
    is_ours = given == AUTO or given in ours()
    if file.size <= most or not is_ours:
        return [file]
    kind = _cut_kind(file.path, file.size, file.version, given, file.source.encoding)
    if not kind:
        return [file]
    number = -(-file.size // most)
    places = [file.size * n // number for n in range(number + 1)]
    return [replace(file, piece=(kind, start, stop)) for start, stop in itertools.pairwise(places)]


@lru_cache(1 << 12)
def _cut_kind(path: str, size: int, version: str, given: str, encoding: str | None) -> str:
    """How a file can be cut, a key of FINDERS in data_prep.read.borders; empty where it cannot."""
    try:
        if path.startswith(SCHEME):
            head = S3Buckets().content(path, LOOKED_AT)
        else:
            with open(path, "rb") as file:
                head = file.read(LOOKED_AT)
    except (OSError, UserError):
        return ""  # reading it will say so
    if head.startswith(GZIP_MAGIC):
        return "members" if is_record(head) and next_member(head) else ""
    if head.startswith(ZSTD_MAGIC):
        return ""
    kind = detect_bytes(head, path.rpartition("/")[2]) if given == AUTO else given
    return ours()[kind].pieces(head, encoding) if kind else ""
