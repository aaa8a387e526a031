"""Documents that leave a store: which, what stays as it was, and what is told of the others."""

import numpy as np
import pytest

from data_prep.store_tools import remove as remove_module
from data_prep.store_tools.listed import read_listed
from data_prep.store_tools.remove import find_removal
from data_prep.store_tools.where import EVERYTHING, parse_where
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from geo_nemo.store.verify import find_damage
from tests.unit.data_prep.store_tools.test_merge import rows
from tests.unit.data_prep.store_tools.worlds import Text, content_hash, write_store

SPLITS = {
    "train": [
        Text("one", "T1", "gb", "www.a.uk", "/1", year=2020, source="now"),
        Text("two", "", "ke", "b.ke", "/sport/2?x=1", "http", source="web"),
        Text("three", "T3", "gb", "c.uk", "/3", cluster=content_hash("one")),
        Text("four", "T4", "us", "a.uk", "/4"),
        Text("five", "T5", "ke", "b.ke", "/5", fields={"license": "cc"}),
        Text("six", "T6", "ke", "nota.uk", "/6"),
        Text("seven", "T7", "us", "z.com", "/7"),
    ],
    "test": [Text("eight", "T8", "gb", "a.uk", "/8"), Text("nine", "T9", "us", "z.com", "/9")],
}
EVERY = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def remove_documents(root, out, listed=None, where=EVERYTHING, with_copies=False):
    """Find and write; out: None writes nothing."""
    found = find_removal(root, listed, where, with_copies)
    return found.removed if out is None else found.write(out)


@pytest.fixture(scope="module")
def root(tokenizer_paths, tmp_path_factory):
    folder = tmp_path_factory.mktemp("remove") / "store"
    return write_store(
        folder, tokenizer_paths["gpt_2"], SPLITS, shard_documents=3, kinds={"license": "category"}
    )


def written(tmp_path, *lines):
    path = tmp_path / "gone.txt"
    path.write_text("\n".join(lines) + "\n")
    return read_listed(path)


def everything(root):
    store = TokenStore.open(root)
    return {split: rows(store, split) for split in store.splits}


def bodies(root):
    return [row[1].strip() for found in everything(root).values() for row in found]


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("a.uk", ["one", "four", "eight"]),  # the host and those below it, not nota.uk
        ("www.a.uk", ["one"]),
        ("b.ke/sport", ["two"]),
        ("https://b.ke/sport/2?x=1", ["two"]),  # whatever the scheme
        ("http://c.uk/3#top", ["three"]),  # as preparation normalises it
        (f"{content_hash('five'):016x}", ["five"]),
        (f"0x{content_hash('five'):016X}", ["five"]),
    ],
)
def test_a_line_names_a_document_or_a_host_s(root, tmp_path, line, gone):
    listed = written(tmp_path, "# why", "", f"  {line}  ")
    done = remove_documents(root, tmp_path / "new", listed)
    assert bodies(tmp_path / "new") == [body for body in EVERY if body not in gone]
    assert [g.hash for g in done.documents] == [f"{content_hash(body):016x}" for body in gone]
    assert listed.without((g.hash, g.url) for g in done.documents) == []


def test_what_stays_is_as_it_was_and_the_store_is_whole(root, tmp_path):
    before = everything(root)
    done = remove_documents(root, tmp_path / "new", where=parse_where(["country=ke"]))
    after = everything(tmp_path / "new")
    for split, found in after.items():
        assert found == [row for row in before[split] if row[2].country != "ke"]
    store = TokenStore.open(tmp_path / "new")
    assert find_damage(store.root, store.manifest) == []
    assert store.hash == done.hash != TokenStore.open(root).hash
    assert done.kept == {"train": 4, "validation": 0, "test": 2}
    assert (done.shards_taken, done.shards_copied) == (2, 2)
    assert set(store.countries) == {"gb", "us"}
    assert store.manifest.quarantine["removed"] == 3
    assert everything(root) == before


def test_both_conditions_hold_and_a_field_of_one_s_own_is_one(root, tmp_path):
    listed = written(tmp_path, "b.ke")
    done = remove_documents(root, tmp_path / "new", listed, parse_where(["license=cc"]))
    assert [(g.split, g.number, g.url, g.country) for g in done.documents] == [
        ("train", 4, "https://b.ke/5", "ke")
    ]
    assert listed.without([]) == ["b.ke"]


def test_near_duplicates_are_counted_or_go_as_well(root, tmp_path):
    listed = written(tmp_path, f"{content_hash('one'):016x}")
    stay = remove_documents(root, None, listed)
    assert (len(stay.documents), stay.copies, stay.hash) == (1, 1, "")
    go = remove_documents(root, tmp_path / "new", listed, with_copies=True)
    assert ([g.number for g in go.documents], go.copies) == ([0, 2], 0)
    assert bodies(tmp_path / "new") == [b for b in EVERY if b not in ("one", "three")]


def test_a_copy_finds_the_first_as_well(root, tmp_path):
    listed = written(tmp_path, "https://c.uk/3")
    go = remove_documents(root, None, listed, with_copies=True)
    assert [g.number for g in go.documents] == [0, 2]


@pytest.mark.parametrize(
    ("lines", "where", "said"),
    [
        ((), [], "say which documents go: give --list or --where"),
        (("nobody.com",), [], "has none of these documents: nothing was removed"),
        ((), ["year>=0"], "these are all documents of"),
        (("# nothing",), [], "names nothing: give a URL, a host or a hash a line"),
        (("b.ke", "https://"), [], "line 2: 'https://': "),
        (("nodot",), [], "line 1: 'nodot' is no host"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(root, tmp_path, lines, where, said):
    with pytest.raises(UserError) as caught:
        listed = written(tmp_path, *lines) if lines else None
        remove_documents(root, tmp_path / "new", listed, parse_where(where))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"gone.txt"}


def test_it_is_whole_or_absent(root, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remove_module, "assemble_of", full)
    with pytest.raises(UserError, match="No space left"):
        remove_documents(root, tmp_path / "new", written(tmp_path, "a.uk"))
    assert [path.name for path in tmp_path.iterdir()] == ["gone.txt"]


def test_random_lists_remove_what_a_plain_search_finds(root, tmp_path):
    store = TokenStore.open(root)
    texts = [text for split in SPLITS.values() for text in split]
    generator = np.random.default_rng(5)
    for _ in range(20):
        chosen = [texts[i] for i in generator.choice(len(texts), 3, replace=False)]
        lines = [f"{text.scheme}://{text.host}{text.path}" for text in chosen]
        done = remove_documents(store.root, None, written(tmp_path, *lines))
        assert {g.hash for g in done.documents} == {f"{content_hash(t.body):016x}" for t in chosen}
