"""A split in memory and a tokenizer of words, so that arrays in tests can be read by eye."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo_nemo.data.draws import Draws
from geo_nemo.data.mixing import Pool
from geo_nemo.data.sampling import stage_draws
from geo_nemo.metadata.record import KEY_OF, MetadataRecord

CONTINENT_OF = {"gb": "Europe", "no": "Europe", "us": "America", "in": "Asia", "ke": "Africa"}


class WordTokenizer:
    """One id a word (with its leading space) or newline, numbered as they are first met from 10."""

    bos_id, eos_id, pad_id = 1, 2, 0
    kind = "words"
    vocab_size = 1 << 31
    sha256 = "0" * 64

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        words = re.findall(r"\n| ?[^\s]+", text)
        return [self._ids.setdefault(word, 10 + len(self._ids)) for word in words]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.pieces([i for i in ids if i >= 10]))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        names = {i: word for word, i in self._ids.items()} | {0: "<pad>", 1: "<s>", 2: "</s>"}
        return [names[int(i)] for i in ids]


@dataclass(frozen=True)
class Document:
    title: Sequence[int]
    body: Sequence[int]
    host: str = "bbc.co.uk"
    country: str = "gb"
    path: str = "/a"
    source: str = "news"
    year: int = 0
    quality: int = 0


class MemorySplit:
    """What a store's split gives, over a list of documents."""

    name = "train"
    root = "memory"
    columns = tuple(KEY_OF)
    lists = frozenset()

    def __init__(self, documents: Sequence[Document]):
        self.documents = documents
        self.num_documents = len(documents)
        self.hosts = sorted({d.host for d in documents})
        self.countries = tuple(sorted({d.country for d in documents}))
        self.title_lengths = np.array([len(d.title) for d in documents], dtype=np.int64)
        self.body_lengths = np.array([len(d.body) for d in documents], dtype=np.int64)
        self.host = np.array([self.hosts.index(d.host) for d in documents], dtype=np.uint32)
        self.country = np.array([self.countries.index(d.country) for d in documents], np.uint8)
        continents = [CONTINENT_OF[d.country] for d in documents]
        self.continents = tuple(sorted(set(continents)))
        self.continent_of = CONTINENT_OF
        self.continent = np.array([self.continents.index(c) for c in continents], np.uint8)
        self.sources = tuple(sorted({d.source for d in documents}))
        self.source = np.array([self.sources.index(d.source) for d in documents], np.uint8)
        self.year = np.array([d.year for d in documents], np.int16)
        self.quality = np.array([d.quality for d in documents], np.uint8)

    def codes(self, column: str) -> np.ndarray:
        return getattr(self, column)

    def code_reader(self, columns: Sequence[str]):
        return lambda index: tuple(getattr(self, column)[index].item() for column in columns)

    def title(self, index: int) -> np.ndarray:
        return np.array(self.documents[index].title, dtype=np.uint16)

    def body(self, index: int) -> np.ndarray:
        return np.array(self.documents[index].body, dtype=np.uint16)

    def texts(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.title(index), self.body(index)

    def pieces(
        self, index: int, title: int, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.title(index)[:title], self.body(index)[start:stop]

    def record(self, index: int) -> MetadataRecord:
        document = self.documents[index]
        return MetadataRecord(
            host=document.host,
            country=document.country,
            continent=CONTINENT_OF[document.country],
            path=document.path,
            year=document.year,
            quality=document.quality,
            source=document.source,
        )


def random_documents(
    seed: int, count: int, longest_title: int = 6, longest_body: int = 60
) -> list[Document]:
    """Documents of distinct-looking tokens (1000 and up), some without title or body.

    One host has documents of two countries.
    """
    draw = int(hashlib.blake2b(str(seed).encode(), digest_size=4).hexdigest(), 16)
    rng = np.random.default_rng(draw)
    places = [
        ("bbc.co.uk", "gb"),
        ("a.very.long.host.example.com", "us"),
        ("thehindu.com", "in"),
        ("cnn.com", "us"),
        ("cnn.com", "in"),
    ]
    documents = []
    for _ in range(count):
        host, country = places[rng.integers(len(places))]
        documents.append(
            Document(
                title=rng.integers(1000, 60_000, rng.integers(0, longest_title + 1)).tolist(),
                body=rng.integers(1000, 60_000, rng.integers(0, longest_body + 1)).tolist(),
                host=host,
                country=country,
                path=f"/{rng.integers(1000)} {'x ' * int(rng.integers(0, 3))}y",
            )
        )
    return documents


def draws_of(*pool) -> Draws:
    """How a stage draws from `Pool(*pool)`."""
    return stage_draws(Pool(*pool))
