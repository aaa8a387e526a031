"""Token stores of random ids, made without text, so that ten million documents take minutes."""

from pathlib import Path

import numpy as np

from benchmarks.prep.setting import train_vocabulary
from data_prep.store_tools.megatron import IndexedWriter
from data_prep.tokenise.assemble import FinishedShard, assemble
from data_prep.tokenise.shard_writer import Columns, ShardWriter, Tokens
from geo_nemo.metadata.geography import continent_of
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.load import load_tokenizer

VOCAB_SIZE = 4000
COUNTRIES = ("gb", "us", "in", "ke", "ng", "au", "fr", "de", "br", "jp")
HOSTS = 5000
TITLE_TOKENS = 14
SPREAD = 0.8  # of the logarithm of a body's length, about that of news
LONGEST = 100_000
BATCH, SHARD = 50_000, 1_000_000
_WORDS = ("river", "council", "market", "train", "bread", "harbour", "story", "report", "weather")


def make_store(folder: Path, documents: int, median_tokens: int) -> Path:
    """A store of `documents` whose bodies have `median_tokens`, all in train; its folder."""
    folder.mkdir(parents=True)
    vocabulary = folder / "vocabulary" / "tokenizer.json"
    vocabulary.parent.mkdir()
    rng = np.random.default_rng(documents)
    train_vocabulary(vocabulary, (" ".join(rng.choice(_WORDS, 60)) for _ in range(200)), VOCAB_SIZE)
    tokenizer = load_tokenizer(vocabulary)
    root = folder / "store"
    root.mkdir()
    shards = []
    for number, start in enumerate(range(0, documents, SHARD)):
        place = f"train/{number:05d}"
        writer = ShardWriter(root / place, "uint16")
        stop = min(start + SHARD, documents)
        for first in range(start, stop, BATCH):
            writer.add(_columns(rng, min(BATCH, stop - first), median_tokens, first))
        written = writer.close(place)
        shards.append(
            FinishedShard(
                "train", written.entry, written.by_country, lambda w=written: w.hosts, root / place
            )
        )
    continents = {country: continent_of(country) for country in COUNTRIES}
    assemble(root, shards, tokenizer, vocabulary, continents, {}, [], {})
    return root


def write_megatron(store: Path, folder: Path) -> Path:
    """The titles and bodies of a store as Megatron's `.bin` and `.idx`; their prefix."""
    folder.mkdir()
    opened = TokenStore.open(store)
    split = opened.split("train")
    eos = np.array([opened.tokenizer().eos_id], np.uint16)
    writer = IndexedWriter(folder, np.dtype(np.uint16))
    for number in range(split.num_documents):
        writer.add([split.title(number), split.body(number), eos])
    writer.finish()
    return folder / "data"


def _columns(rng: np.random.Generator, count: int, median: int, first: int) -> Columns:
    drawn = rng.lognormal(np.log(median), SPREAD, count)
    bodies = np.clip(drawn, 8, LONGEST).astype(np.int64)
    numbers = np.arange(first, first + count, dtype=np.uint64)
    hosts = rng.integers(0, HOSTS, count)
    return Columns(
        titles=_tokens(rng, np.full(count, TITLE_TOKENS)),
        bodies=_tokens(rng, bodies),
        country=[COUNTRIES[host % len(COUNTRIES)] for host in hosts.tolist()],
        host=[f"news-{host}.com" for host in hosts.tolist()],
        source=["web"] * count,
        path=["/a"] * count,
        year=np.full(count, 2024, np.int16),
        quality=np.full(count, 70, np.uint8),
        content_hash=numbers,
        cluster=numbers,
    )


def _tokens(rng: np.random.Generator, lengths: np.ndarray) -> Tokens:
    # Ids of control tokens stay out: a stray end of document would be one to Megatron's masks.
    return Tokens(rng.integers(100, 256, int(lengths.sum()), dtype=np.uint16), lengths)
