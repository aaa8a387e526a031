"""Texts of an annotated corpus: Parquet as `geo-nemo prep` writes it, or files with its columns.

1. `open_corpus` reads the columns of metadata; texts stay where they are.
2. `CorpusTexts.tokens` reads the chosen texts, cuts each to what fits every model, at a space, and
   tokenises them for each model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eval.corpus_files import TEXTS, check_types, files_of, unfit_columns
from eval.fitting import body_ids, fitting, title_ids
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.fields import lines_of
from geo_nemo.metadata.geography import UNKNOWN, continent_of, countries
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store.field_column import Several
from geo_nemo.tokenizers.base import Tokenizer

# Columns that are no metadata of a document.
_INNER = {"id", "url", "domain", "evidence", "confidence", "hash", "cluster", "language_score"}
_OWN = {"host", "country", "continent", "path", "year", "quality", "source"}


@dataclass(frozen=True)
class CorpusItems:
    """The documents of a split; `table` has their metadata, a row each.

    country, host: indices, int64 [n]; content_hash: uint64 [n]; year: int64 [n], 0: not known.
    """

    name: str
    table: pa.Table
    countries: tuple[str, ...]
    hosts: tuple[str, ...]
    country: np.ndarray
    host: np.ndarray
    content_hash: np.ndarray
    year: np.ndarray

    @property
    def num_documents(self) -> int:
        return len(self.country)

    def with_any(self, columns: Sequence[str]) -> np.ndarray:
        """Numbers of the documents that have something in one of the columns of a field."""
        found = np.zeros(self.num_documents, bool)
        for name in columns:
            if name in ("country", "continent"):  # which follows from the country
                found |= np.array([country != UNKNOWN for country in self.countries])[self.country]
            elif name == "year":
                found |= self.year > 0
            elif name in self.table.column_names:
                found |= _filled(self.table[name])
        return np.flatnonzero(found)

    def record(self, index: int) -> MetadataRecord:
        row = {name: self.table[name][index].as_py() for name in self.table.column_names}
        known_place = row.get("country") not in (None, "", UNKNOWN)
        country = row["country"] if known_place else ""
        url = row.get("url") or ""
        known = {name: row.get(name) for name in ("path", "source") if row.get(name)}
        return MetadataRecord(
            host=row.get("host") or "", country=country,
            continent=(row.get("continent") or _continent(country)) if known_place else "",
            scheme=url.partition("://")[0] if "://" in url else "https",
            year=row.get("year") or 0, quality=row.get("quality"), **known,
            extra={k: _as_line(v) for k, v in row.items()
                   if k not in _OWN | _INNER and v not in (None, "", [])},
        )  # fmt: skip


@dataclass(frozen=True)
class CorpusTokens:
    """Ids of the chosen documents under one tokenizer. whole: those that are not cut."""

    name: str
    ids: Mapping[int, tuple[np.ndarray, np.ndarray]]
    whole: frozenset[int]

    def title(self, index: int) -> np.ndarray:
        return self.ids[int(index)][0]

    def body(self, index: int) -> np.ndarray:
        return self.ids[int(index)][1]


# Tokens that a document's title and body may have together: of its place among the chosen, and the
# ids of its title and of its body.
Budget = Callable[[int, np.ndarray, np.ndarray], int]


@dataclass(frozen=True)
class CorpusTexts:
    """A split of a corpus. unfit: columns that are left out, and why no field can read them."""

    address: str
    hash: str
    items: CorpusItems
    files: tuple[Path, ...]
    unfit: Mapping[str, str]

    @property
    def hashed(self) -> bool:
        return _is_hashed(self.items.table)

    @property
    def countries(self) -> Sequence[str]:
        return self.items.countries

    @property
    def continent_of(self) -> dict[str, str]:
        return {country: _continent(country) for country in self.items.countries}

    def check(self, policy: MetadataPolicy, key: str) -> None:
        for line in lines_of(policy):
            for column in (each for each in line.columns if each in self.unfit):
                raise UserError(
                    f"{key}: {self.unfit[column]}: write it so, or leave {line.name} out of the "
                    "fields"
                )
            there = self.items.with_any(line.columns).tolist()
            if not any(line.value(self.items.record(n)) for n in there):
                raise UserError(
                    f"{key}: no document of {self.address} has a {line.name} ({line.words}): leave "
                    "it out of the fields, or give a corpus with the column"
                )

    def check_groups(self, groups: Sequence[str], key: str = "groups") -> None:
        self.check(MetadataPolicy(fields=tuple(groups)), key)

    def tokens(
        self, chosen: np.ndarray, tokenizers: Sequence[Tokenizer], budgets: Sequence[Budget]
    ) -> tuple[list[CorpusTokens], np.ndarray]:
        """Of each tokenizer, and UTF-8 bytes of titles and bodies as they are scored, [n, 2].

        budgets: of each tokenizer. A text that is too long for any of them is cut for all.
        """
        found: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{} for _ in tokenizers]
        whole, sizes = set(), np.zeros((len(chosen), 2), np.int64)
        for place, (title, body) in enumerate(self._texts(chosen)):
            cut = title, body
            for _ in range(3):  # what fits one tokenizer may, cut for another, split anew
                before = cut
                for tokenizer, budget in zip(tokenizers, budgets, strict=True):
                    cut = fitting(*cut, tokenizer, partial(budget, place))
                if cut == before:
                    break
            index = int(chosen[place])
            if cut == (title, body):
                whole.add(index)
            sizes[place] = [len(part.encode()) for part in cut]
            for ids, tokenizer in zip(found, tokenizers, strict=True):
                ids[index] = title_ids(tokenizer, cut[0]), body_ids(tokenizer, cut[1])
        kept = frozenset(whole)
        return [CorpusTokens(self.items.name, ids, kept) for ids in found], sizes

    def _texts(self, chosen: np.ndarray):
        """Title and body of each chosen document, in order."""
        start = 0
        for path in self.files:
            file = pq.ParquetFile(path)
            for number in range(file.num_row_groups):
                size = file.metadata.row_group(number).num_rows
                first, last = np.searchsorted(chosen, [start, start + size])
                if last > first:
                    rows = file.read_row_group(number, columns=_there(file, TEXTS))
                    for row in rows.take(chosen[first:last] - start).to_pylist():
                        yield (row.get("title") or "").strip(), (row.get("text") or "").strip()
                start += size


def open_corpus(path: Path, split: str) -> CorpusTexts:
    """The split of the corpus in a folder of prep's, or all of a Parquet file, or of a folder's.

    Raises `UserError` for what is no corpus, and for one without a document.
    """
    files, digest = files_of(path, split)
    tables: list[pa.Table] = []
    unfit: dict[str, str] = {}
    for file in files:
        try:
            opened = pq.ParquetFile(file)
            if "text" not in opened.schema_arrow.names:
                raise UserError(f"{file} has no column text: give Parquet with title, text, host, "
                                "country")  # fmt: skip
            check_types(file, opened.schema_arrow)
            unfit |= unfit_columns(file, opened.schema_arrow)
            names = [n for n in opened.schema_arrow.names if n not in TEXTS]
            tables.append(opened.read(columns=names))
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(
                f"cannot read {file} as Parquet: {reason}; give the corpus of geo-nemo prep, or "
                "Parquet files"
            ) from None
    tables = [table.select([n for n in table.column_names if n not in unfit]) for table in tables]
    try:
        table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"corpus={path}: its files have a column of several types ({reason}): write them with "
            "one schema"
        ) from None
    if not len(table):
        raise UserError(f"corpus={path} has no document in split {split}")
    country, names = _codes(table, "country", UNKNOWN)
    unknown = sorted(set(names) - set(countries()) - {UNKNOWN})
    if unknown:
        raise UserError(
            f"corpus={path}: {unknown[0]!r} is no country; write ISO 3166 alpha-2 in lower case, "
            "as gb"
        )
    host, hosts = _codes(table, "host")
    year = 0
    if "year" in table.column_names:
        year = table["year"].cast(pa.int64()).fill_null(0).to_numpy()
    items = CorpusItems(
        split, table, tuple(names), tuple(hosts), country, host, _hashes(table),
        np.broadcast_to(np.asarray(year, np.int64), len(table)),
    )  # fmt: skip
    return CorpusTexts(str(path), digest, items, tuple(files), unfit)


def _codes(table: pa.Table, name: str, nothing: str = "") -> tuple[np.ndarray, list[str]]:
    """Numbers of a column's values, and the values. nothing: of rows without one."""
    if name not in table.column_names:
        return np.zeros(len(table), np.int64), [nothing]
    values = [value or nothing for value in table[name].cast(pa.string()).to_pylist()]
    names, codes = np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)
    return codes.reshape(-1).astype(np.int64), names.tolist()


def _is_hashed(table: pa.Table) -> bool:
    """Whether there are hashes as prep writes them; a column of that name may be another's."""
    return "hash" in table.column_names and pa.types.is_fixed_size_binary(table["hash"].type)


def _hashes(table: pa.Table) -> np.ndarray:
    if not _is_hashed(table):
        return np.arange(len(table), dtype=np.uint64)
    return np.array([int.from_bytes((h or b"")[:8], "little") for h in table["hash"].to_pylist()],
                    dtype=np.uint64)  # fmt: skip


def _filled(column: pa.ChunkedArray) -> np.ndarray:
    """Which rows have a value that is neither an empty text nor an empty list, bool [n]."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.binary_length(column)
    elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.list_value_length(column)
    else:
        return pc.is_valid(column).to_numpy()
    return pc.fill_null(pc.greater(column, 0), False).to_numpy()


def _as_line(value: Any) -> str | int:
    """Several values of a document as a store shows them."""
    if not isinstance(value, list):
        return value
    return Several([str(each) for each in value]) if value else None


def _continent(country: str) -> str:
    known = country in countries() or country == UNKNOWN
    return continent_of(country) if known else "none"


def _there(file: pq.ParquetFile, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in file.schema_arrow.names]
