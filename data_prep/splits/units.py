"""What the split needs to know of each row, in columns that several passes can read fast.

For each part: drop.npy uint8 [n] (0 where deduplication keeps the row, else its index in
data_prep.dedup.OUTCOMES), content.npy uint64 [n], country.npy uint8 [n], and where they are needed
unit.npy and leader.npy (uint64 and int64, by cluster with near-duplicates kept; unit.npy also by
host) and year.npy int16 [n] (by year). 10 to 26 bytes a document on disk; a row group in memory.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

from data_prep.config import Prep
from data_prep.splits.rules import INDEX, Rows

DTYPES = {
    "drop": np.uint8,
    "content": np.uint64,
    "country": np.uint8,
    "unit": np.uint64,
    "leader": np.int64,
    "year": np.int16,
    "host": np.uint64,
}


def columns_for(config: Prep) -> tuple[str, ...]:
    """Names of the arrays that a part has under `config`."""
    by = config.splits.by
    names = ("drop", "content", "country")
    if config.balance.cap_host is not None:
        names = (*names, "host")
    if by == "host":
        return (*names, "unit")
    if by == "year":
        return (*names, "year")
    return (*names, "unit", "leader") if config.dedup.near.action == "keep" else names


def read_columns(config: Prep) -> list[str]:
    """Columns of a part that `batch_arrays` needs."""
    by = config.splits.by
    extra = {"host": ["domain", "host"], "year": ["year"]}.get(by, [])
    if config.balance.cap_host is not None:
        extra = [*extra, *(name for name in ("domain", "host") if name not in extra)]
    return ["country", "hash", *extra]


def batch_arrays(batch: pa.RecordBatch, config: Prep) -> dict[str, np.ndarray]:
    """The arrays of a batch's rows that its columns alone tell."""
    found = {"content": first_word(batch["hash"]), "country": country_numbers(batch["country"])}
    if config.splits.by == "host":
        found["unit"] = host_units(batch["domain"], batch["host"])
    if config.balance.cap_host is not None:
        found["host"] = host_units(batch["domain"], batch["host"])
    if config.splits.by == "year":
        found["year"] = batch["year"].to_numpy(zero_copy_only=False)
    return found


def first_word(hashes: pa.FixedSizeBinaryArray) -> np.ndarray:
    """uint64 [n]: the first 8 bytes of each hash of 16, big-endian."""
    data = np.frombuffer(hashes.buffers()[1], ">u8").reshape(-1, 2)
    return data[hashes.offset : hashes.offset + len(hashes), 0].astype(np.uint64)


def country_numbers(countries: pa.StringArray) -> np.ndarray:
    """uint8 [n]: index into CODES."""
    return _by_value(countries, lambda code: INDEX[code], np.uint8)


def host_units(domains: pa.StringArray, hosts: pa.StringArray) -> np.ndarray:
    """uint64 [n]: xxh3-64 of the registrable domain, or of the host where it has none."""
    import pyarrow.compute as pc

    names = pc.if_else(pc.equal(domains, ""), hosts, domains)
    return _by_value(names, lambda name: xxhash.xxh3_64_intdigest(name.encode()), np.uint64)


class PartArrays:
    """The arrays of a part that was written, as memory maps by name."""

    def __init__(self, folder: Path, names: Iterable[str]):
        self._arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in names}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def kept(self) -> np.ndarray:
        """int64 [m]: the rows that deduplication keeps."""
        return np.flatnonzero(self["drop"] == 0)

    def rows(self, at: np.ndarray, country_of: np.ndarray | None = None) -> Rows:
        """The rows `at`. country_of: of every document of the corpus, for the homes of clusters."""
        content, country = self["content"][at], self["country"][at]
        names = self._arrays
        unit = self["unit"][at] if "unit" in names else content
        year = self["year"][at] if "year" in names else np.zeros(len(at), np.int16)
        home = country
        if country_of is not None:
            leader = self["leader"][at]
            home = country.copy()
            known = (leader >= 0) & (leader < len(country_of))
            home[known] = country_of[leader[known]]
        host = self["host"][at] if "host" in names else None
        return Rows(unit, country, home, content, year, host)


def _by_value(values: pa.Array, number, dtype) -> np.ndarray:
    """`number` of each value; called once for each distinct one."""
    encoded = values.dictionary_encode() if not pa.types.is_dictionary(values.type) else values
    table = np.array([number(value) for value in encoded.dictionary.to_pylist()], dtype)
    return table[encoded.indices.to_numpy()]
