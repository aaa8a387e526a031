"""What commit 3ff4b84 drew, packed and composed, to the last bit: runs of it go on from there.

The digests were printed by this file at that commit (`python -m tests.unit.data.test_golden`). A
change of a key, an order or a rule that other tests take for as good as the old is seen here.
"""

import hashlib

import numpy as np
import pytest

from geo_nemo.config import Data, MetadataPolicy, Sampling
from geo_nemo.data.counter import derive_key
from geo_nemo.data.dataset import StageDataset
from geo_nemo.metadata.record import Kind
from tests.unit.data.fakes import Document, MemorySplit, WordTokenizer, draws_of

PLACES = [("bbc.co.uk", "gb"), ("cnn.com", "us"), ("cnn.com", "in"), ("a.b.example.com", "ke")]
SAMPLINGS = {
    "as they are": {},
    "weights": {"weights": {"gb": 1, "us": 2, "in": 3, "ke": 0.5}},
    "temperature": {"temperature": 3},
    "continents": {"by": "continent", "temperature": 2},
    "sources": {"by": "source", "weights": {"now": 1, "web": 3}},
    "unimax": {"unimax_epochs": 4},
}
POLICIES = {
    "usual": {},
    "path": {"fields": ["country", "url"], "url_form": "path"},
    "none": {"fields": []},
    "dropout": {"dropout": 0.3, "field_dropout": {"url": 0.2, "continent": 0.6}},
    "append": {"position": "append", "mask_loss": False, "dropout": 0.5},
}
PACKINGS = {
    "best fit": {},
    "bare": {"prefix_fragments": False},
    "concat": {"packing": "concat"},
    "chunks": {"packing": "concat", "prefix_fragments": False},
}
CASES = dict.fromkeys(
    [
        *[("usual", "best fit", sampling) for sampling in SAMPLINGS],
        *[(policy, packing, "as they are") for policy in POLICIES for packing in PACKINGS],
    ]
)
EXPECTED = {
    ("usual", "best fit", "as they are"): "b27caa0c25a6213e",
    ("usual", "best fit", "weights"): "d6535b3dbcb9df98",
    ("usual", "best fit", "temperature"): "8b6a8983cdc27ff6",
    ("usual", "best fit", "continents"): "70a906d9ded71b83",
    ("usual", "best fit", "sources"): "e2ff10477bdb8b77",
    ("usual", "best fit", "unimax"): "b6d8c909e4cfa88e",
    ("usual", "bare", "as they are"): "77e0712830068b90",
    ("usual", "concat", "as they are"): "ffc3608b869525be",
    ("usual", "chunks", "as they are"): "d7bd90a1a244a7d0",
    ("path", "best fit", "as they are"): "c1fa910e368ebd8b",
    ("path", "bare", "as they are"): "6e3c2873146d497a",
    ("path", "concat", "as they are"): "23390c9a1f5378d4",
    ("path", "chunks", "as they are"): "d748c26264bf84c0",
    ("none", "best fit", "as they are"): "974eef5c8cb9d25c",
    ("none", "bare", "as they are"): "0e0870d0f51a13a2",
    ("none", "concat", "as they are"): "4e7ca4acd6b9a5b7",
    ("none", "chunks", "as they are"): "f9e16b16527a829a",
    ("dropout", "best fit", "as they are"): "67558832f396faf5",
    ("dropout", "bare", "as they are"): "d8803a3b3305037e",
    ("dropout", "concat", "as they are"): "e676a8c39d2b0e0b",
    ("dropout", "chunks", "as they are"): "0e7a602cbbd8ffe9",
    ("append", "best fit", "as they are"): "a6d8e5eb6d794f10",
    ("append", "bare", "as they are"): "1e683889ea475bd0",
    ("append", "concat", "as they are"): "edd96d9ac4021b12",
    ("append", "chunks", "as they are"): "a7106d7477313c44",
}


def world(count: int = 300) -> MemorySplit:
    rng = np.random.default_rng(11)
    documents = []
    for number in range(count):
        # Some titles and bodies are empty, some longer than a sequence.
        title, body = int(rng.integers(0, 7)), int(rng.integers(0, 40)) * int(rng.integers(1, 4))
        host, country = PLACES[int(rng.integers(4)) if number % 9 else 0]
        documents.append(
            Document(
                title=rng.integers(1000, 60_000, title).tolist(),
                body=rng.integers(1000, 60_000, body).tolist(),
                host=host,
                country=country,
                path=f"/{number % 50} {'x ' * (number % 3)}y",
                source=("now", "web")[number % 5 == 0],
            )
        )
    return MemorySplit(documents)


def digest(policy: str, packing: str, sampling: str) -> str:
    """Of the fragments and sequences of three epochs; of tokens, those of titles and bodies."""
    split = world()
    key = derive_key(5, "s")
    draws = draws_of(
        split, np.arange(0, 300, 1), Sampling(**SAMPLINGS[sampling]), key, 64, 12_000, "s"
    )
    data = Data(store="x", seq_length=72, packing_window=64, **PACKINGS[packing])
    dataset = StageDataset(
        split, data, MetadataPolicy(**POLICIES[policy]), WordTokenizer(), draws, 5, 400, stage="s"
    )
    found = hashlib.sha256()
    for number in range(400):
        sequence = dataset[number]
        found.update(repr([tuple(each) for each in dataset.fragments(number)]).encode())
        text = np.isin(sequence.label_kinds, [Kind.TITLE, Kind.BODY])
        groups = sequence.group_ids if hasattr(sequence, "group_ids") else sequence.source_ids
        for array in (
            sequence.label_kinds, sequence.loss_mask, sequence.position_ids, sequence.cu_seqlens,
            groups, sequence.labels[text],
        ):  # fmt: skip
            found.update(f"{array.dtype}{array.tolist()}".encode())
    for number in range(6):
        drawn = draws.window(number)
        found.update(repr((drawn.documents.tolist(), drawn.epochs.tolist())).encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("case", CASES, ids="/".join)
def test_sequences_are_those_of_3ff4b84(case):
    assert digest(*case) == EXPECTED[case]


if __name__ == "__main__":
    for case in CASES:
        print(f"    {case!r}: {digest(*case)!r},")
