"""The documents of one part, tokenised into a shard of each split.

Titles are encoded as `" " + title + "\\n\\n"`, bodies as `" " + text`, apart, as the labels
`TITLE:` and `CONTENT:` that go before them are. In memory: a row group and its ids, and what
ShardWriter keeps.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.engine import TaskProgress
from data_prep.tokenise.encoders import Choice, first_unequal
from data_prep.tokenise.field_writer import FOUND
from data_prep.tokenise.first_words import Beginnings
from data_prep.tokenise.shard_writer import Columns, ShardWriter, Tokens, WrittenShard
from geo_nemo.common.errors import RunError
from geo_nemo.store.manifest import SPLITS, CountryEntry, ShardEntry
from geo_nemo.store.paths import with_scheme

COLUMNS = (
    "url", "host", "path", "country", "year", "quality", "source", "title", "text", "hash",
    *FOUND,
)  # fmt: skip
# Ids of so many documents stay in a processor's cache; more at once is slower.
BATCH = 256
CHECKED_CHARACTERS = 4096
SHARD_NAME, HOSTS_NAME = "shard.json", "hosts.txt"


class EncodersDiffer(RunError):
    """The fast encoder's ids are not the reference's."""


def write_part(
    folder: Path,
    batches: Iterable[pa.RecordBatch],
    outcome: np.ndarray,
    cluster: np.ndarray,
    choice: Choice,
    dtype: str,
    check_documents: int,
    progress: TaskProgress,
    fields: Iterable[str] = FOUND,
    beginnings: Beginnings | None = None,
) -> dict[str, WrittenShard]:
    """Fill `<folder>/<split>/` for each split that has documents; the shards by split.

    batches: documents of a part with COLUMNS, in order.
    outcome: uint8 [n] of the part; a row whose outcome is no index of SPLITS is left out.
    cluster: uint64 [n]. dtype: of token ids.
    check_documents: of the documents that are kept so many, at equal distances, are encoded by the
        reference too, of a longer text its first CHECKED_CHARACTERS. Raises EncodersDiffer where
        ids are not the same.
    fields: columns of text that are metadata beyond what every document has.
    beginnings: of the tokenizer; without it shards have no first words.
    """
    fields = tuple(fields)
    writers: dict[str, ShardWriter] = {}
    checked = _spread(np.flatnonzero(outcome < len(SPLITS)), check_documents, len(outcome))
    start = done = 0
    try:
        for batch in batches:
            # Not by `take`, which would copy all texts once more.
            texts = batch["text"].to_pylist()
            lean = batch.drop_columns(["text"])
            for number, split in enumerate(SPLITS):
                at = np.flatnonzero(outcome[start : start + len(batch)] == number)
                if not len(at):
                    continue
                if split not in writers:
                    writers[split] = ShardWriter(folder / split, dtype, beginnings)
                some = lean if len(at) == len(batch) else lean.take(pa.array(at))
                bodies = [texts[row] for row in at.tolist()]
                rows = at + start
                titles, bodies = _encoded(some["title"], bodies, choice, checked[rows])
                writers[split].add(_columns(some, titles, bodies, cluster[rows], fields))
            start += len(batch)
            done += pc.sum(pc.binary_length(batch["text"])).as_py() or 0
            progress(done, start)
        return {split: writer.close(split) for split, writer in writers.items()}
    except BaseException:
        for writer in writers.values():
            writer.abandon()
        raise


def save_shard(folder: Path, shard: WrittenShard) -> None:
    """Put beside a shard's columns what the store will need of it."""
    described = {
        "entry": shard.entry.model_dump(),
        "by_country": {c: entry.model_dump() for c, entry in shard.by_country.items()},
    }
    (folder / SHARD_NAME).write_bytes(orjson.dumps(described))
    (folder / HOSTS_NAME).write_text("".join(f"{host}\n" for host in shard.hosts), "utf-8")


def read_shard(folder: Path) -> tuple[ShardEntry, dict[str, CountryEntry]]:
    """What `save_shard` put down, but the hosts."""
    described = orjson.loads((folder / SHARD_NAME).read_bytes())
    by_country = {c: CountryEntry(**entry) for c, entry in described["by_country"].items()}
    return ShardEntry.model_validate(described["entry"]), by_country


def read_hosts(folder: Path) -> list[str]:
    """The hosts of a shard that was saved, in the order of their codes."""
    return (folder / HOSTS_NAME).read_text("utf-8").split("\n")[:-1]


def _encoded(
    titles: pa.Array, texts: list[str], choice: Choice, checked: np.ndarray
) -> tuple[Tokens, Tokens]:
    """Ids of titles and bodies. checked: bool [n], whose ids the reference is asked for too."""
    heads = [f" {title}\n\n" if title else "" for title in titles.to_pylist()]
    found_titles, found_bodies = [], []
    for start in range(0, len(texts), BATCH):
        rows = slice(start, start + BATCH)
        some = heads[rows]
        count = len(some)
        # One call for both: titles alone are too short.
        some += [" " + text for text in texts[rows]]
        tokens = choice.encoder.encode(some)
        _check(choice, some, tokens, np.flatnonzero(np.tile(checked[rows], 2)))
        found_titles.append(tokens[:count])
        found_bodies.append(tokens[count:])
    return Tokens.joined(found_titles), Tokens.joined(found_bodies)


def _columns(
    batch: pa.RecordBatch,
    titles: Tokens,
    bodies: Tokens,
    cluster: np.ndarray,
    fields: tuple[str, ...],
) -> Columns:
    secure = pc.starts_with(batch["url"], "http:").to_pylist()
    schemes = ("https", "http")
    return Columns(
        titles=titles,
        bodies=bodies,
        country=batch["country"],
        host=batch["host"],
        source=batch["source"],
        path=[
            with_scheme(schemes[plain], path)
            for plain, path in zip(secure, batch["path"].to_pylist(), strict=True)
        ],
        year=batch["year"].to_numpy(zero_copy_only=False),
        quality=batch["quality"].to_numpy(zero_copy_only=False),
        content_hash=content_hashes(batch["hash"]),
        cluster=cluster,
        fields={name: batch[name] for name in fields},
    )


def content_hashes(column: pa.Array) -> np.ndarray:
    """The first 8 bytes, big endian, of each 16-byte hash; uint64 [n]."""
    words = np.frombuffer(column.buffers()[1], ">u8").reshape(-1, 2)
    return words[column.offset : column.offset + len(column), 0].astype(np.uint64)


def _check(choice: Choice, texts: list[str], tokens: Tokens, rows: np.ndarray) -> None:
    if choice.encoder is choice.reference or not len(rows):
        return
    # The reference takes a second for 2 MB: of a long text its start is compared, cut alike.
    some = [texts[row][:CHECKED_CHARACTERS] for row in rows]
    ends = np.cumsum(tokens.lengths)
    ids = [
        tokens.ids[ends[row] - tokens.lengths[row] : ends[row]]
        if len(texts[row]) <= CHECKED_CHARACTERS
        else choice.encoder.encode([start]).ids
        for row, start in zip(rows, some, strict=True)
    ]
    found = Tokens(np.concatenate(ids), np.array(list(map(len, ids))))
    at = first_unequal(found, choice.reference.encode(some))
    if at is not None:
        raise EncodersDiffer(
            f"{choice.encoder.name} and {choice.reference.name} give different ids for "
            f"{texts[rows[at]][:80]!r}"
        )


def _spread(rows: np.ndarray, count: int, total: int) -> np.ndarray:
    """bool [total]: true for `count` of `rows`, at equal distances."""
    chosen = np.zeros(total, bool)
    if len(rows):
        places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)
        chosen[rows[places]] = True
    return chosen
