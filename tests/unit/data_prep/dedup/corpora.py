"""Small corpora as ingest leaves them, and an oracle of deduplication in plain Python sets."""

import random
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from data_prep.config import Prep
from data_prep.dedup import decisions, dedup_stages
from data_prep.dedup.clusters import Decisions
from data_prep.engine import run_stage
from data_prep.ingest import PARTS_NAME, Ingest, all_parts
from data_prep.parts import SCHEMA
from geo_nemo.common.progress import no_progress

WORDS = [f"{a}{b}" for a in ("ba", "ke", "lo", "mi", "nu", "ra", "so", "ti") for b in range(400)]


@dataclass(frozen=True)
class Doc:
    """A document of a test; no id: its hash, as ingest does."""

    text: str
    id: str | None = None

    @property
    def hash(self) -> bytes:
        return xxhash.xxh3_128_digest(self.text.encode())


def row(doc: Doc) -> dict:
    filled = {field.name: 0 if pa.types.is_integer(field.type) else "" for field in SCHEMA}
    filled["confidence"] = filled["language_score"] = 0.0
    own = doc.hash.hex() if doc.id is None else doc.id
    return filled | {"id": own, "text": doc.text, "hash": doc.hash}


def text_of(seed: int, words: int = 200) -> str:
    """Words drawn at random; texts of different seeds share next to no n-gram."""
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(words))


def edited(text: str, fraction: float, seed: int) -> str:
    """`text` with a fraction of its words replaced."""
    draw = random.Random(seed)
    words = text.split()
    for i in draw.sample(range(len(words)), round(fraction * len(words))):
        words[i] = f"edit{draw.randrange(10**9)}"
    return " ".join(words)


def shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


def jaccard(left: str, right: str) -> float:
    a, b = shingles(left), shingles(right)
    return len(a & b) / len(a | b) if a | b else 0.0


def make(output: Path, parts: list[list[Doc]], **dedup) -> Prep:
    """A config whose ingest has left these parts."""
    config = Prep(input="none.jsonl", output=str(output), dedup=dedup, execution={"workers": 1})
    folder = Ingest(config).folder / "00000"
    folder.mkdir(parents=True, exist_ok=True)
    entries, start = [], 0
    for number, docs in enumerate(parts):
        name = f"part-{number:05d}.parquet"
        table = pa.Table.from_pylist([row(doc) for doc in docs], SCHEMA)
        pq.write_table(table, folder / name, row_group_size=7)
        key = xxhash.xxh3_64_hexdigest(repr(docs).encode())
        entries.append({"id": f"00000-{number:05d}", "path": f"00000/{name}", "key": key,
                        "documents": len(docs), "start": start,
                        "text_bytes": sum(len(doc.text.encode()) for doc in docs)})  # fmt: skip
        start += len(docs)
    (folder.parent / PARTS_NAME).write_bytes(orjson.dumps(entries))
    return config


def run(config: Prep) -> list[Decisions]:
    """Run all stages; what was decided on each part."""
    for stage in dedup_stages():
        run_stage(stage(config), no_progress)
    return [decisions(config, part) for part in all_parts(config)]


def joined(found: list[Decisions]) -> tuple[list[int], list[int], list[int]]:
    """Outcomes, clusters and leaders of all parts, as lists."""
    return tuple(
        [int(value) for part in found for value in getattr(part, name)]
        for name in ("outcome", "cluster", "leader")
    )


def cluster_of(doc: Doc) -> int:
    return int.from_bytes(doc.hash[:8], "big")


def expected(docs: list[Doc], near: bool) -> tuple[list[int], list[int], list[int]]:
    """Outcomes, clusters and leaders by one pass over sets and every pair, in plain Python.

    For corpora whose pairs are clearly above the threshold of similarity, or clearly below it.
    """
    ids, contents, edges = {}, {}, {}
    outcome, parent = [0] * len(docs), list(range(len(docs)))
    for i, doc in enumerate(docs):
        if doc.id is not None and ids.setdefault(doc.id, i) != i:
            outcome[i], parent[i] = 1, ids[doc.id]
        elif contents.setdefault(doc.text, i) != i:
            outcome[i], parent[i] = 2, contents[doc.text]
    alive = [i for i in range(len(docs)) if outcome[i] == 0]
    for i in alive if near else ():
        edges[i] = [j for j in alive if j != i and jaccard(docs[i].text, docs[j].text) > 0.73]
    seen: set[int] = set()
    for i in alive if near else ():
        stack = [] if i in seen else [i]
        while stack:
            j = stack.pop()
            if j not in seen:
                seen.add(j)
                parent[j] = i
                outcome[j] = 0 if j == i else 3
                stack += edges[j]
    leader = []
    for i in range(len(docs)):
        root = i
        while parent[root] != root:
            root = parent[root]
        leader.append(root)
    return outcome, [cluster_of(docs[i]) for i in leader], leader
