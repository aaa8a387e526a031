"""Sequences and packing under one metadata policy: STORE POLICY(JSON) SEQUENCES; makes STORE where
it is not.

A file of its own, that an older checkout can run: whichever geo_nemo is first on the path is used.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DOCUMENTS, HOSTS = 6000, 1500
SEQ_LENGTH, WINDOW, TOGETHER, PASSES = 2048, 4096, 32, 15
DOCUMENTS_IN_WINDOWS = -(-DOCUMENTS // WINDOW) * WINDOW
WORDS = [
    "river", "council", "market", "train", "bread", "harbour", "story", "report", "weather",
    "price", "school", "doctor", "minister", "rain", "summer", "border", "water", "election",
    "field", "station", "player", "village", "office", "number", "evening", "answer",
]  # fmt: skip


def main() -> None:
    folder, policy, sequences = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
    if not folder.exists():
        make(folder)
    from geo_nemo.config import Data, MetadataPolicy
    from geo_nemo.data.dataset import StageDataset
    from geo_nemo.store import TokenStore

    store = TokenStore.open(folder)
    split = store.split("train")
    data = Data(store=str(folder), seq_length=SEQ_LENGTH, packing_window=WINDOW)
    policy, documents = MetadataPolicy(**policy), np.arange(len(split))

    dataset = StageDataset(split, data, policy, store.tokenizer(), documents, 1, sequences)
    windows = range(dataset.index.num_windows)

    def plan() -> None:
        for number in windows:
            dataset.planner.plan(number)

    found = {"row_seconds": least(lambda: read(dataset, sequences)), "index_seconds": least(plan)}
    # A window holds what is left of an epoch, at most.
    planned = sum(min(WINDOW, DOCUMENTS - n * WINDOW % DOCUMENTS_IN_WINDOWS) for n in windows)
    print(json.dumps(found | {"tokens": sequences * SEQ_LENGTH, "documents": planned}))


def least(work: Callable[[], None]) -> float:
    """CPU seconds of the quickest of many times: all hosts are met, and nobody is in the way."""
    seconds = []
    for _ in range(PASSES):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def read(dataset, sequences: int) -> None:
    for start in range(0, sequences, TOGETHER):
        dataset.block(range(start, min(start + TOGETHER, sequences)))


def make(folder: Path) -> None:
    """A store of news-like texts of about 150 tokens."""
    from benchmarks.prep.setting import train_vocabulary
    from data_prep.tokenise.store_writer import StoreDocument, StoreWriter

    try:
        from geo_nemo.tokenizers.load import load_tokenizer
    except ModuleNotFoundError:  # where it was before
        from geo_nemo.metadata.tokenizer import load_tokenizer

    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)
    path = folder.parent / "tokenizer.json"
    train_vocabulary(path, (" ".join(rng.choice(WORDS, 60)) for _ in range(300)), 4000)
    tokenizer = load_tokenizer(path)
    continents = {"gb": "Europe", "us": "America", "ke": "Africa", "in": "Asia"}
    countries = sorted(continents)
    writer = StoreWriter(folder, tokenizer, path, countries, continents, DOCUMENTS)
    titles, bodies, documents = [], [], []
    for number in range(DOCUMENTS):
        host = int(rng.integers(HOSTS))
        size = max(8, int(rng.lognormal(np.log(130), 0.6)))
        words = rng.choice(WORDS, size).tolist()
        titles.append(f" {' '.join(words[:8]).capitalize()}\n\n")
        bodies.append(f" {' '.join(words).capitalize()}.")
        documents.append(
            StoreDocument(
                f"news-{host}.com", countries[host % 4], f"/{number}/", number,
                year=2000 + host % 25, quality=int(rng.integers(101)), source="web",
            )
        )  # fmt: skip
    encode = tokenizer.encode_batch
    writer.add("train", documents, encode(titles), encode(bodies))
    writer.finish({}, [])


if __name__ == "__main__":
    main()
