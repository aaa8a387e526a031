"""Samples: how many of what, reproducible, and whole stores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.store_tools import sample as sample_module
from data_prep.store_tools.sample import draws, even, fractions, sample_store
from data_prep.store_tools.where import parse_where
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from geo_nemo.store.verify import find_damage
from tests.unit.data_prep.store_tools.test_merge import rows
from tests.unit.data_prep.store_tools.worlds import Text, write_store

SIZES = st.lists(st.integers(0, 50), min_size=1, max_size=6).map(np.array)


def texts(prefix, counts):
    return [
        Text(f"{prefix} {country} {i}", f"T{i}", country, f"{country}.com", f"/{i}", year=2000 + i)
        for country, count in counts.items()
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def splits():
    return {
        "train": texts("train", {"gb": 40, "ke": 30, "us": 10}),
        "validation": texts("val", {"gb": 2}),
        "test": texts("test", {"gb": 8, "ke": 10}),
    }


@pytest.fixture(scope="module")
def root(tokenizer_paths, tmp_path_factory, splits):
    folder = tmp_path_factory.mktemp("sample") / "store"
    return write_store(folder, tokenizer_paths["gpt_2"], splits, shard_documents=9)


def documents(root):
    store = TokenStore.open(root)
    return {split: rows(store, split) for split in store.splits}


def test_splits_give_in_proportion_and_documents_stay_as_they_were(root, tmp_path):
    done = sample_store(root, tmp_path / "s", documents=50, seed=1)
    assert done.by_split == {"train": 40, "validation": 1, "test": 9}
    assert (done.matching, done.documents) == (100, 50)
    before, after = documents(root), documents(tmp_path / "s")
    for split, found in after.items():
        order = [before[split].index(row) for row in found]
        assert order == sorted(order)
        assert len(set(order)) == done.by_split[split]
    store = TokenStore.open(tmp_path / "s")
    assert find_damage(store.root, store.manifest) == []
    assert store.hash == done.hash


def test_per_country_gives_even_numbers_as_far_as_they_go(root, tmp_path):
    sample_store(root, tmp_path / "s", documents=50, per_country=True, seed=1)
    by_country = {
        name: {c: e.documents for c, e in entry.by_country.items()}
        for name, entry in TokenStore.open(tmp_path / "s").manifest.splits.items()
    }
    assert by_country == {
        "train": {"gb": 15, "ke": 15, "us": 10},
        "validation": {"gb": 1},
        "test": {"gb": 5, "ke": 4},
    }


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(root, tmp_path):
    hashes = [
        sample_store(root, tmp_path / name, documents=30, seed=seed).hash
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_sample_does_not_depend_on_shards(root, tokenizer_paths, tmp_path, splits, monkeypatch):
    monkeypatch.setattr(sample_module, "_SPARE", 0)
    other = write_store(tmp_path / "o", tokenizer_paths["gpt_2"], splits, shard_documents=50)
    sample_store(root, tmp_path / "a", documents=20, seed=5)
    sample_store(other, tmp_path / "b", documents=20, seed=5)
    assert documents(tmp_path / "a") == documents(tmp_path / "b")


def test_a_smaller_sample_is_part_of_a_larger_one(root, tmp_path):
    for name, number in (("small", 10), ("large", 30)):
        sample_store(root, tmp_path / name, documents=number, split_names=["train"], seed=3)
    small, large = documents(tmp_path / "small")["train"], documents(tmp_path / "large")["train"]
    assert (len(small), len(large)) == (10, 30)
    assert set(small) < set(large)


def test_conditions_and_splits(root, tmp_path):
    done = sample_store(
        root, tmp_path / "s", 1000, where=parse_where(["country=ke,year>=2005"]),
        split_names=["test", "train"],
    )  # fmt: skip
    assert done.by_split == {"train": 25, "test": 5}
    found = documents(tmp_path / "s")
    assert {row[2].country for split in found.values() for row in split} == {"ke"}
    assert {row[3] for row in found["test"]} == set(range(2005, 2010))
    assert TokenStore.open(tmp_path / "s").countries == ("ke",)


def test_mistakes_are_one_line(root, tmp_path):
    with pytest.raises(UserError, match=r"no document in train, validation, test of .* has year"):
        sample_store(root, tmp_path / "s", 5, where=parse_where(["year>3000"]))
    with pytest.raises(UserError, match="has no split tets, only train, validation, test"):
        sample_store(root, tmp_path / "s", 5, split_names=["tets"])
    with pytest.raises(UserError, match="is a token store already"):
        sample_store(root, root, 5)
    assert list(tmp_path.iterdir()) == []


@given(total=st.integers(0, 200), sizes=SIZES)
def test_fractions_are_proportional_within_one(total, sizes):
    given_ = fractions(total, sizes)
    expected = min(total, int(sizes.sum()))
    assert given_.sum() == expected
    assert (given_ <= sizes).all()
    if expected >= np.count_nonzero(sizes):
        assert ((given_ > 0) == (sizes > 0)).all()
    # One document each before the proportion moves a share by no more than their number.
    fair = expected * sizes / max(1, sizes.sum())
    assert (abs(given_ - fair) <= len(sizes)).all()


@given(total=st.integers(0, 200), sizes=SIZES)
def test_even_parts_differ_only_where_a_part_is_exhausted(total, sizes):
    given_ = even(total, sizes)
    assert given_.sum() == min(total, int(sizes.sum()))
    assert (given_ <= sizes).all()
    rest = given_[given_ < sizes]
    if len(rest):
        assert given_.max() <= rest.min() + 1


def test_draws_are_uniform_and_differ_by_seed():
    hashes = np.arange(20_000, dtype=np.uint64)
    one, two = draws(hashes, 0), draws(hashes, 1)
    assert len(np.unique(one)) == 20_000
    for drawn in (one, two):
        counts = np.bincount((drawn >> np.uint64(60)).astype(int), minlength=16)
        assert abs(counts - 1250).max() < 6 * np.sqrt(1250)
    ranks = np.corrcoef(one.astype(float), two.astype(float))[0, 1]
    assert abs(ranks) < 0.05
