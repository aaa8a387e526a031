"""What a token store holds, and the hashes that prove it: `manifest.json`, written last."""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from geo_nemo.config.errors import UserError
from geo_nemo.config.schema import NonNegative, Section

FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")
MANIFEST_NAME = "manifest.json"
HOSTS_NAME = "hosts.txt"


class FileEntry(Section):
    """Size and content hash of one file."""

    bytes: NonNegative
    sha256: str


class TokenizerEntry(Section):
    """The tokenizer that made the store; `file` is beside the manifest."""

    file: str
    kind: Literal["sentencepiece", "huggingface"]
    sha256: str
    vocab_size: int
    bos_id: int
    eos_id: int
    pad_id: int
    bos: str
    eos: str
    pad: str


class CountryEntry(Section):
    """How much of a split one country has; tokens are those of titles and bodies."""

    documents: NonNegative
    tokens: NonNegative


class ShardEntry(Section):
    """One folder of columns; `path` is relative to the store."""

    path: str
    documents: NonNegative
    files: dict[str, FileEntry]


class SplitEntry(Section):
    """Totals and shards of one split."""

    documents: NonNegative
    title_tokens: NonNegative
    body_tokens: NonNegative
    by_country: dict[str, CountryEntry]
    shards: tuple[ShardEntry, ...]


class SourceEntry(Section):
    """A raw file the store was made from: its name, and the hash of what was read of it."""

    name: str
    bytes: NonNegative
    xxh3_128: str


class Manifest(Section):
    """The whole of `manifest.json`. It holds no time and no machine's path: the same input and
    config give the same bytes, so the hash identifies the content."""

    format_version: Literal[1] = FORMAT_VERSION
    tokenizer: TokenizerEntry
    dtype: Literal["uint16", "uint32"]
    countries: tuple[str, ...]
    continents: dict[str, str]
    hosts: FileEntry
    splits: dict[str, SplitEntry]
    quarantine: dict[str, NonNegative]
    sources: tuple[SourceEntry, ...]

    def to_bytes(self) -> bytes:
        """The file's content."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    def country_dtype(self) -> np.dtype:
        """Type of the country column: uint8 unless there are more than 256 countries."""
        return np.dtype(np.uint8 if len(self.countries) <= 256 else np.uint16)

    def columns(self) -> dict[str, np.dtype]:
        """Name and element type of every column of a shard."""
        tokens, ends = np.dtype(self.dtype), np.dtype(np.int64)
        return {
            "title.bin": tokens,
            "title_end.bin": ends,
            "body.bin": tokens,
            "body_end.bin": ends,
            "country.bin": self.country_dtype(),
            "host.bin": np.dtype(np.uint32),
            "hash.bin": np.dtype(np.uint64),
            "path.bin": np.dtype(np.uint8),
            "path_end.bin": ends,
        }


def token_dtype(vocab_size: int) -> Literal["uint16", "uint32"]:
    """The narrowest type that holds every id."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def mend(root: Path) -> str:
    """What to do about a damaged store. Prep keeps a store whose sizes hold: it must go first."""
    return f"remove the folder {root} and run geo-nemo prep again"


def read_manifest(root: Path) -> tuple[Manifest, str]:
    """The manifest of the store in `root`, and the 16 hex digits that identify the store."""
    path = root / MANIFEST_NAME
    if not root.is_dir():
        raise UserError(f"no token store at {root}: make one with geo-nemo prep output=...")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{root} is not a whole token store ({MANIFEST_NAME} is missing): give the folder that "
            "geo-nemo prep wrote, or prepare it again"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{path} is no manifest of format {FORMAT_VERSION}: {where}: {first['msg']}; "
            f"{mend(root)}"
        ) from None
    return manifest, hashlib.sha256(content).hexdigest()[:16]
