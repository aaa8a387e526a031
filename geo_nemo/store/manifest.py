"""What a token store holds, and the hashes that prove it: `manifest.json`, written last.

    <store>/manifest.json
    <store>/hosts.txt                     sorted; one a line
    <store>/tokenizer.model               or tokenizer.json, or tokenizer.tiktoken and its .json
    <store>/<split>/<shard>/<column>.bin  the columns of COLUMNS
    <store>/<split>/<shard>/start*.bin    of START_COLUMNS, where the store has them
    <store>/<split>/<shard>/field.<name>.<part>.bin   of FIELD_COLUMNS, for language, date and each
                                          field of the user's own that a document of the shard has
    <store>/fields/<name>.text.bin        the values of such a field, sorted, the first one empty,
    <store>/fields/<name>.end.bin         and where each ends

Country, source and host are numbered within a shard, so that a shard stays as it is when it comes
to stand beside others: the manifest lists a shard's countries and sources by name, and `host_map`
holds the line in hosts.txt of each of its hosts; `field.<name>.map` does so for a field's values.

Format 2 has no fields; it is read as it is.
"""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from geo_nemo.common.errors import UserError
from geo_nemo.common.parse import parse_json
from geo_nemo.config.groups import FieldName
from geo_nemo.config.section import NonNegative, Section
from geo_nemo.tokenizers.kinds import KindName

FORMAT_VERSION: Literal[3] = 3
READ_VERSIONS = (2, 3)
SPLITS = ("train", "validation", "test")
MANIFEST_NAME = "manifest.json"
HOSTS_NAME = "hosts.txt"
# Of the index of a store's texts, which geo-nemo trace makes beside it: its folder's ending, and
# the file in it that names the store.
TEXTS_SUFFIX, TEXTS_NAME = ".trace", "trace.json"
# Stands in a copy of a store on `s3://`: the address that it was fetched from.
FETCHED_NAME = "fetched_from"
Dtype = Literal["uint8", "uint16", "uint32", "uint64", "int16"]

_INDEX: tuple[Dtype, ...] = ("uint8", "uint16", "uint32")
_ENDS: tuple[Dtype, ...] = ("uint32", "uint64")
_TOKENS: tuple[Dtype, ...] = ("uint16", "uint32")
# Each column and the types it may have. An `_end` column holds where each document's values end in
# the column it is named after. One value a document, but for those and the following:
#   host_map     one a host of the shard
#   cluster, cluster_at   only documents whose cluster is not their own hash, and their numbers
#   path, path_dict, path_end   see geo_nemo.store.paths
COLUMNS: dict[str, tuple[Dtype, ...]] = {
    "title.bin": _TOKENS,
    "title_end.bin": _ENDS,
    "body.bin": _TOKENS,
    "body_end.bin": _ENDS,
    "country.bin": _INDEX,
    "host.bin": _INDEX,
    "host_map.bin": ("uint32",),
    "year.bin": ("int16",),
    "quality.bin": ("uint8",),
    "source.bin": _INDEX,
    "hash.bin": ("uint64",),
    "cluster.bin": ("uint64",),
    "cluster_at.bin": _ENDS,
    "path.bin": ("uint8",),
    "path_dict.bin": ("uint8",),
    "path_end.bin": _ENDS,
}

# In quality.bin: the measure of quality does not know the document's language.
NO_QUALITY = 255

# First words of titles and bodies, which lengths of some templates ask for; older stores lack them.
#   title_start, body_start   one a document: the number of its first word; 0: none among its first
#       tokens (geo_nemo.metadata.first_words)
#   start, start_size         tokens of the first words, from number 1, and how many each has
START_COLUMNS: dict[str, tuple[Dtype, ...]] = {
    "title_start.bin": _INDEX,
    "body_start.bin": _INDEX,
    "start.bin": _TOKENS,
    "start_size.bin": ("uint8",),
}

# Columns of a field of the user's own; see geo_nemo.store.field_column.
#   code             one a document: the number of its value in the shard, or of its list; 0: none
#   text, end        the shard's values one behind another, in UTF-8, and where each ends
#   map              of each of them its number in the store; absent where the store numbers none
#   item, item_end   the values of the shard's lists, and where each list ends; absent without lists
FIELD_COLUMNS: dict[str, tuple[Dtype, ...]] = {
    "code": _INDEX,
    "text": ("uint8",),
    "end": _ENDS,
    "map": ("uint32",),
    "item": _INDEX,
    "item_end": _ENDS,
}
FIELDS_FOLDER = "fields"
FieldKind = Literal["category", "text", "number", "date"]

# The documents themselves, nearly all of a store; plans, indices and counts need the others alone.
TOKEN_COLUMNS = ("title.bin", "body.bin")


class DamagedStore(UserError):
    """A store of which something is not as it was written: a finding, where one looks for it."""


class FileEntry(Section):
    """Size and content hash of one file."""

    bytes: NonNegative
    sha256: str


class ColumnEntry(FileEntry):
    """A file of values of one type, little-endian."""

    dtype: Dtype


class TokenizerEntry(Section):
    """The tokenizer that made the store; `file` is beside the manifest."""

    file: str
    kind: KindName
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


class FieldEntry(Section):
    """A field of the user's own.

    kind: what its values are; `text` where the store does not number them, so that they make no
        groups. many: a document may have several values.
    values: of all documents, and the empty one. files: `text` and `end` of the values, by part.
    """

    kind: FieldKind
    many: bool
    values: NonNegative
    files: dict[Literal["text", "end"], ColumnEntry]


class ShardEntry(Section):
    """One folder of columns; `path` is relative to the store.

    countries, sources: what the values of the shard's country and source columns stand for.
    """

    path: str
    documents: NonNegative
    title_tokens: NonNegative
    body_tokens: NonNegative
    countries: tuple[str, ...]
    sources: tuple[str, ...]
    files: dict[str, ColumnEntry]


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
    config give the same bytes, so the hash identifies the content.

    countries: sorted. continents: of each country. source_names: sorted; names of input sources.
    quarantine: records set aside, by reason. sources: the raw files.
    fields: columns beyond those that every store has, by name.
    """

    format_version: Literal[2, 3] = FORMAT_VERSION
    tokenizer: TokenizerEntry
    dtype: Literal["uint16", "uint32"]
    countries: tuple[str, ...]
    continents: dict[str, str]
    source_names: tuple[str, ...]
    hosts: FileEntry
    splits: dict[str, SplitEntry]
    quarantine: dict[str, NonNegative]
    sources: tuple[SourceEntry, ...]
    fields: dict[FieldName, FieldEntry] = Field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file's content."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def field_file(name: str, part: str) -> str:
    """A file of the field `name` in a shard; part: of FIELD_COLUMNS."""
    return f"field.{name}.{part}.bin"


def field_of(file: str) -> tuple[str, str] | None:
    """Field and part of a file of a shard; None where it is of no field."""
    words = file.split(".")
    is_field = len(words) == 4 and words[0] == "field" and words[3] == "bin"
    return (words[1], words[2]) if is_field and words[2] in FIELD_COLUMNS else None


def is_own_to_a_store(file: str) -> bool:
    """Whether a file of a shard leads from its numbers to a store's: another store has its own."""
    found = field_of(file)
    return file == "host_map.bin" or (found is not None and found[1] == "map")


def column_types(file: str) -> tuple[Dtype, ...]:
    """The types that a file of a shard may have; none where there is no such file."""
    found = field_of(file)
    shared = COLUMNS | START_COLUMNS
    return shared.get(file, ()) if found is None else FIELD_COLUMNS[found[1]]


def values_file(name: str, part: str) -> str:
    """Where the values of a field stand in the store; part: `text` or `end`."""
    return f"{FIELDS_FOLDER}/{name}.{part}.bin"


def token_dtype(vocab_size: int) -> Literal["uint16", "uint32"]:
    """The narrowest type that holds every id."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def mend(root: Path) -> str:
    """What to do about a damaged store. Prep keeps a store whose sizes hold: it must go first."""
    try:
        address = (root / FETCHED_NAME).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return f"remove the folder {root} and repeat geo-nemo prep run"
    return f"remove the folder {root} and fetch it again from {address}"


def read_manifest(root: Path) -> tuple[Manifest, str]:
    """The manifest of the store in `root`, and the 16 hex digits that identify the store."""
    path = root / MANIFEST_NAME
    if not root.is_dir():
        raise UserError(
            f"no token store at {root}: make one with geo-nemo prep run input=... output=..."
        )
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        inner = root / "store"
        found = (inner / MANIFEST_NAME).is_file()
        raise UserError(
            f"{root} is not a whole token store ({MANIFEST_NAME} is missing): "
            + (f"give {inner}" if found else "give the folder store/ that geo-nemo prep run wrote")
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    return parse_manifest(content, str(root), mend(root))


def parse_manifest(content: bytes, store: str, mending: str) -> tuple[Manifest, str]:
    """The manifest in `content`, and the 16 hex digits that identify the store.

    store: where it is, and mending: what to do about a damaged one, for the `UserError`.
    """
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        version = _format_version(content)
        if version not in (None, *READ_VERSIONS):
            raise UserError(
                f"{store} is a token store of format {version}, and this geo-nemo reads formats "
                f"{' and '.join(map(str, READ_VERSIONS))}: {mending}"
            ) from None
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DamagedStore(
            f"{store}/{MANIFEST_NAME} is no manifest of format {version or FORMAT_VERSION}: "
            f"{where}: {first['msg']}; {mending}"
        ) from None
    return manifest, hashlib.sha256(content).hexdigest()[:16]


def _format_version(content: bytes) -> int | None:
    try:
        version = parse_json(content)["format_version"]
    except (ValueError, TypeError, KeyError):
        return None
    return version if isinstance(version, int) else None


def known_quality(stored: int) -> int | None:
    """A quality as a store has it; None where it is not known."""
    return None if stored == NO_QUALITY else stored
