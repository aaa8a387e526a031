"""A corpus of prep tells an evaluation of each document what its store tells training."""

from pathlib import Path

import numpy as np

from data_prep.config import Prep
from data_prep.graph import run_prep
from eval.corpus import open_corpus
from eval.groups import ALL, groups
from geo_nemo.config import MetadataPolicy
from geo_nemo.metadata.compose import Composer
from geo_nemo.store import TokenStore
from tests.unit.data_prep.worlds import record, records, write_jsonl

POLICY = MetadataPolicy(
    fields=("url", "country", "continent", "year", "date", "language", "topic", "topics")
)


def test_the_prefix_is_that_of_the_store(tmp_path):
    given = [
        row | {"section": ["sport", None, "arts"][i % 3], "tags": ["a", "b"][: i % 3],
               "date": f"2024-05-{i + 1:02}" if i % 2 else None}
        for i, row in enumerate(records(9))
    ]  # fmt: skip
    for i in (20, 21):
        given.append(record(i, url=f"https://paper.com/story/{i}", country=None))
    path = write_jsonl(tmp_path / "in.jsonl", given)
    run_prep(
        Prep.model_validate(
            {"input": [{"path": str(path), "set": {"language": "en"}}],
             "fields": {"extra": {"topic": "section", "topics": "tags"}},
             "output": str(tmp_path / "out"), "execution": {"workers": 1},
             "tokenizer": {"vocab_size": 400, "shrink": True},
             "splits": {"train": 1, "validation": 0, "test": 0}}
        )
    )  # fmt: skip
    store = TokenStore.open(tmp_path / "out" / "store")
    split = store.split("train")
    items = open_corpus(Path(tmp_path / "out" / "corpus"), "train").items
    composer = Composer(POLICY, store.tokenizer())
    by_path = {split.record(i).path: split.record(i) for i in range(len(split))}
    assert len(by_path) == items.num_documents == 11
    for i in range(items.num_documents):
        found = items.record(i)
        blocks = [list(composer.block_texts(r)) for r in (found, by_path[found.path])]
        assert blocks[0] == blocks[1]
        assert not any("unknown" in line for line in blocks[0])
    place = items.countries.index("unknown")
    assert np.sum(items.country == place) == 2
    # Documents of two values are in the groups of both, whichever of the two is evaluated.
    for records_of in (items, split):
        rows = [records_of.record(i) for i in range(11)]
        found = {g.name: len(g.places) for g in groups(("topics",), rows) if g.kind != ALL}
        assert found == {"a": 6, "b": 3, "unknown": 5}
