"""Merged stores: what is in them, what is left out, and that they are whole."""

import errno
import os

import pytest

from data_prep.store_tools import merge as merge_module
from data_prep.store_tools.merge import SplitMerge, merge_stores
from geo_nemo.common.errors import UserError
from geo_nemo.common.lock import folder_lock
from geo_nemo.store import TokenStore
from geo_nemo.store.verify import find_damage
from tests.unit.data_prep.store_tools.worlds import Text, content_hash, write_store

A = {
    "train": [
        Text("one", "T1", "gb", "a.uk", "/1", year=2020, quality=5, source="now"),
        Text("two", "", "ke", "b.ke", "", "http", year=2021, quality=6, source="web"),
        Text("three", "T3", "gb", "c.uk", "/3?x", cluster=content_hash("one"), source="now"),
        Text("four", "T4", "gb", "a.uk", "/4"),
        Text("five", "T5", "ke", "b.ke", "/5"),
    ],
    "test": [Text("six", "T6", "gb", "a.uk", "/6")],
}
B = {
    "train": [
        Text("seven", "S7", "us", "z.com", "/7", year=1999, source="cc"),
        Text("eight", "S8", "us", "b.ke", "/8"),
        Text("nine", "S9", "us", "z.com", "/9"),
        Text("two", "other title", "us", "z.com", "/two"),
        Text("six", "leaks", "us", "z.com", "/six"),
        Text("ten", "S10", "us", "a.uk", "/10", cluster=content_hash("six")),
    ],
    "validation": [Text("four", "S4", "us", "z.com", "/4")],
}


def rows(store, split) -> list[tuple]:
    """Everything the store says of each document."""
    if not store.manifest.splits[split].documents:
        return []
    found = store.split(split)
    tokenizer = store.tokenizer()
    return [
        (
            tokenizer.decode(found.title(i)),
            tokenizer.decode(found.body(i)),
            found.record(i),
            int(found.year[i]),
            int(found.quality[i]),
            store.sources[found.source[i]],
            int(found.content_hash[i]),
            int(found.cluster[i]),
        )
        for i in range(len(found))
    ]


def titles(root, split):
    return [row[0].strip() for row in rows(TokenStore.open(root), split)]


@pytest.fixture
def two(tmp_path, tokenizer_paths):
    path = tokenizer_paths["llama_3"]
    return write_store(tmp_path / "a", path, A), write_store(tmp_path / "b", path, B)


def test_texts_stay_once_and_held_out_ones_out_of_train(two, tmp_path):
    merged = merge_stores(two, tmp_path / "c")
    out = tmp_path / "c"
    assert titles(out, "train") == ["T1", "", "T3", "T5", "S7", "S8", "S9"]
    assert titles(out, "validation") == ["S4"]
    assert titles(out, "test") == ["T6"]
    a, b = map(str, two)
    assert merged.splits == (
        SplitMerge(a, "train", 4, {"held_out_elsewhere": 1}),
        SplitMerge(b, "train", 3, {"duplicate_content": 1, "held_out_elsewhere": 2}),
        SplitMerge(a, "validation", 0, {}),
        SplitMerge(b, "validation", 1, {}),
        SplitMerge(a, "test", 1, {}),
        SplitMerge(b, "test", 0, {}),
    )
    # Of each store the first train shard, and the one held-out shard.
    assert (merged.shards_taken, merged.shards_copied) == (4, 1)


def test_near_copies_of_a_text_that_is_held_out_elsewhere_do_not_stay(tmp_path, tokenizer_paths):
    """Each store names a cluster by its own first document."""
    path, first = tokenizer_paths["llama_3"], content_hash("first")
    a = {
        "train": [
            Text("first", "A1"), Text("asked", "A2", cluster=first),
            Text("third", "A3", cluster=first), Text("alone", "A4"),
        ],
        "validation": [Text("fourth", "A5", cluster=first), Text("same", "A6")],
        "test": [Text("fifth", "A7", cluster=first)],
    }  # fmt: skip
    for split in ("test", "validation"):
        b = {split: [Text("asked", "B1")], "train": [Text("other", "B2"), Text("same", "B3")]}
        roots = [
            write_store(tmp_path / split / name, path, texts)
            for name, texts in (("a", a), ("b", b))
        ]
        for number, order in enumerate((roots, roots[::-1])):
            merge_stores(order, tmp_path / split / f"c{number}")
            found = {s: titles(tmp_path / split / f"c{number}", s) for s in ("train", "validation")}
            # What is in validation stays where the text is no more than that elsewhere.
            assert sorted(found["train"]) == ["A4", "B2"]
            wanted = ["A6"] if split == "test" else ["A5", "A6", "B1"]
            assert sorted(found["validation"]) == wanted


def test_documents_keep_all_their_columns(two, tmp_path):
    merge_stores(two, tmp_path / "c")
    merged = TokenStore.open(tmp_path / "c")
    before = {row[6]: row for root in two for split in TokenStore.open(root).splits
              for row in rows(TokenStore.open(root), split)}  # fmt: skip
    for split, source in (("train", two), ("test", two), ("validation", two[1:])):
        known = {row for root in source for row in rows(TokenStore.open(root), split)}
        assert set(rows(merged, split)) <= known
    assert len(before) == sum(e.documents for e in merged.manifest.splits.values()) + 1
    assert merged.sources == ("cc", "now", "web")
    assert merged.countries == ("gb", "ke", "us")
    assert merged.hosts == ["a.uk", "b.ke", "c.uk", "z.com"]
    counts = merged.manifest.splits["train"].by_country
    assert {c: e.documents for c, e in counts.items()} == {"gb": 2, "ke": 2, "us": 3}
    assert merged.manifest.quarantine == {"duplicate_content": 1, "held_out_elsewhere": 3}


def test_the_merged_store_is_whole_and_outlives_its_parts(two, tmp_path):
    merge_stores(two, tmp_path / "c")
    linked = os.stat(tmp_path / "c/train/00000/body.bin")
    assert linked.st_ino == os.stat(two[0] / "train/00000/body.bin").st_ino
    before = [rows(TokenStore.open(tmp_path / "c"), s) for s in ("train", "test")]
    for root in two:
        for folder, _, names in os.walk(root, topdown=False):
            for name in names:
                os.unlink(os.path.join(folder, name))
    store = TokenStore.open(tmp_path / "c")
    assert find_damage(store.root, store.manifest) == []
    assert [rows(store, s) for s in ("train", "test")] == before


def test_the_same_stores_give_the_same_bytes(two, tmp_path):
    first = merge_stores(two, tmp_path / "c").hash
    assert merge_stores(two, tmp_path / "d").hash == first
    assert merge_stores(two[::-1], tmp_path / "e").hash != first


def test_without_hard_links_files_are_copied(two, tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    first = merge_stores(two, tmp_path / "c").hash
    monkeypatch.setattr(os, "link", no_links)
    assert merge_stores(two, tmp_path / "d").hash == first
    assert os.stat(tmp_path / "d/train/00000/body.bin").st_nlink == 1


def test_other_tokenizers_continents_and_places_are_one_line(two, tmp_path, tokenizer_paths):
    other = write_store(tmp_path / "gpt", tokenizer_paths["gpt_2"], A)
    with pytest.raises(UserError, match=r"gpt was made with another tokenizer .* than .*/a "):
        merge_stores([two[0], other], tmp_path / "c")
    asia = {"gb": "Asia", "ke": "Africa"}
    moved = write_store(tmp_path / "asia", tokenizer_paths["llama_3"], A, continents=asia)
    with pytest.raises(UserError, match="has gb in Asia, a store before it in Europe"):
        merge_stores([two[0], moved], tmp_path / "c")
    with pytest.raises(UserError, match="give two stores or more"):
        merge_stores(two[:1], tmp_path / "c")
    with pytest.raises(UserError, match="b is a token store already"):
        merge_stores(two, two[1])
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="mine exists and is no token store"):
        merge_stores(two, tmp_path / "mine")
    assert not (tmp_path / "c").exists()


def test_a_merge_that_fails_leaves_nothing_and_can_be_done_again(two, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(merge_module, "assemble", full)
    with pytest.raises(UserError, match=r"cannot write .*/c: No space left on device"):
        merge_stores(two, tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    monkeypatch.undo()
    (tmp_path / "c.partial/store").mkdir(parents=True)  # as a kill leaves it
    merge_stores(two, tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


def test_two_at_once_are_refused(two, tmp_path):
    with (
        folder_lock(tmp_path / "c.partial"),
        pytest.raises(UserError, match="another process is writing"),
    ):
        merge_stores(two, tmp_path / "c")
