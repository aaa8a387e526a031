"""Which documents of several stores are left out: against a loop over all of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.store_tools import duplicates
from data_prep.store_tools.duplicates import DUPLICATE, HELD_OUT, KEPT, ORDER, find_outcomes
from geo_nemo.common.errors import UserError

KEYS = (3, 2**62, 2**63, 2**63 + 1, 2**64 - 1)


class FakeStore:
    """Splits as lists of shards, a shard as a list of (hash, cluster)."""

    def __init__(self, splits):
        self._splits = splits
        self.splits = tuple(splits)
        entries = {
            name: SimpleNamespace(documents=sum(map(len, shards)))
            for name, shards in splits.items()
        }
        self.manifest = SimpleNamespace(splits=entries)

    def shards(self, name):
        return [
            SimpleNamespace(
                num_documents=len(shard),
                content_hash=np.array([h for h, _ in shard], np.uint64),
                cluster=np.array([c for _, c in shard], np.uint64),
            )
            for shard in self._splits[name]
        ]

    def documents(self, name):
        return [document for shard in self._splits[name] for document in shard]


def expected(stores) -> dict[tuple[int, str], list[int]]:
    """The rules of the module, document by document."""
    everything = [
        (rank, number, place, split, *document)
        for rank, split in enumerate(ORDER)
        for number, store in enumerate(stores)
        for place, document in enumerate(store.documents(split))
    ]
    found = {(n, split): [] for n in range(len(stores)) for split in ORDER}
    # Of each document that leaves its split for its text, where that is held out.
    left = [
        next((o[0] for o in everything[:i] if o[4] == each[4] and o[0] < each[0]), None)
        for i, each in enumerate(everything)
    ]
    for i, (rank, number, _, split, content, cluster) in enumerate(everything):
        earlier = [other for other in everything[:i] if other[4] == content]
        if earlier:
            outcome = DUPLICATE if earlier[0][0] == rank else HELD_OUT
        else:
            held = any(
                o[5] == cluster
                and (
                    (o[0] < rank and o[1] != number)
                    or (by is not None and by < rank and o[1] == number)
                )
                for o, by in zip(everything, left, strict=True)
            )
            outcome = HELD_OUT if held else KEPT
        found[number, split].append(outcome)
    return found


def found(stores, folder) -> dict[tuple[int, str], list[int]]:
    outcomes = find_outcomes(stores, folder)
    return {
        (n, split): outcomes.of(n, split, 0, len(store.documents(split))).tolist()
        for n, store in enumerate(stores)
        for split in ORDER
    }


SHARDS = st.lists(
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS)), max_size=4), max_size=3
)
STORES = st.lists(
    st.fixed_dictionaries({split: SHARDS for split in ("train", "validation", "test")}),
    min_size=2,
    max_size=3,
).filter(lambda stores: any(shard for s in stores for shards in s.values() for shard in shards))


@pytest.mark.parametrize("partition", [1, 4, 1 << 21])
@given(stores=STORES)
def test_outcomes_are_those_of_a_loop_over_all(tmp_path_factory, partition, stores):
    fakes = [FakeStore(splits) for splits in stores]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "PARTITION_DOCUMENTS", partition)
        assert found(fakes, tmp_path_factory.mktemp("outcomes")) == expected(fakes)


def test_held_out_wins_and_first_wins(tmp_path):
    first = FakeStore({"train": [[(1, 1), (2, 2)], [(3, 3)]], "validation": [], "test": [[(4, 4)]]})
    second = FakeStore(
        {"train": [[(3, 3), (4, 4), (7, 2), (8, 4)]], "validation": [[(1, 1)]], "test": [[(2, 2)]]}
    )
    assert found([first, second], tmp_path) == {
        # 1 and 2 are held out by the second store; 3 is first here.
        (0, "train"): [HELD_OUT, HELD_OUT, KEPT],
        (0, "validation"): [],
        (0, "test"): [KEPT],
        # 7 is of a cluster that this store itself holds out, as it was told to; 8 is not.
        (1, "train"): [DUPLICATE, HELD_OUT, KEPT, HELD_OUT],
        (1, "validation"): [KEPT],
        (1, "test"): [KEPT],
    }


def test_stores_without_documents_cannot_be_merged(tmp_path):
    empty = FakeStore({"train": [], "validation": [], "test": []})
    with pytest.raises(UserError, match="nothing to merge"):
        find_outcomes([empty, empty], tmp_path)
