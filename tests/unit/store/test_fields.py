"""Fields of the user's own: what a document was given comes back, alone, merged and sampled."""

import json
import pickle
from collections import Counter
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_prep.store_tools.columns import documents as stored_documents
from data_prep.store_tools.merge import merge_stores
from data_prep.store_tools.sample import sample_store
from data_prep.tokenise import field_writer
from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.common.errors import UserError
from geo_nemo.config import Data, MetadataPolicy
from geo_nemo.data.dataset import StageDataset
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.fields import key_columns, lines_of
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from geo_nemo.store.field_column import UNKNOWN
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data_prep.store_tools.worlds import write_tokenizer

VALUES = st.sampled_from(["sport", "politics", "é", "a, b", "12.5", "x" * 300, "unknown", "no"])
ANY = VALUES | st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1)
LISTS = st.lists(VALUES, min_size=1, max_size=4, unique=True).map(tuple)
FIELDS = st.fixed_dictionaries(
    {}, optional={"topic": VALUES, "license": VALUES, "author": ANY, "topics": LISTS | VALUES}
)
KINDS = {"topic": "category", "author": "text", "topics": "category"}


def few(examples: int):
    """Each example writes stores: a failing one is not made smaller, which would take minutes."""
    return settings(
        max_examples=examples,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"), "sentencepiece")


def write(root, tokenizer, given, shard_documents=3, first=0, kinds=KINDS):
    """A store whose documents have the fields `given`."""
    root.mkdir()
    writer = StoreWriter(
        root, load_tokenizer(tokenizer), tokenizer, ["gb"], {"gb": "Europe"}, shard_documents, kinds
    )
    made = [
        StoreDocument("bbc.co.uk", "gb", f"/{n}", n, fields=fields)
        for n, fields in enumerate(given, first)
    ]
    writer.add("train", made, [[]] * len(made), [[300 - 50, 20]] * len(made))
    writer.finish({}, [])
    return root


def shown(fields):
    return {n: ", ".join(v) if isinstance(v, tuple) else v for n, v in fields.items()}


def check(root, expected):
    """Every reader of a store gives `expected`, fields by document."""
    store = TokenStore.open(root, check_hashes=True)
    split = store.split("train")
    assert [dict(split.record(i).extra) for i in range(len(split))] == expected
    read = [r.extra for s in store.shards("train") for r, _, _ in stored_documents(store, s)]
    assert list(map(dict, read)) == expected
    for name, field in store.manifest.fields.items():
        codes = split.codes(name)
        values = [fields.get(name) for fields in expected]
        assert [code == 0 for code in codes] == [value is None for value in values]
        # Equal codes say that values are equal: a cache by code shows nobody another's.
        pairs = set(zip(codes.tolist(), values, strict=True))
        assert len(pairs) == len({code for code, _ in pairs})
        reader = split.code_reader(["year", name])
        assert [reader(i) for i in range(len(split))] == [(0, int(code)) for code in codes]
        if field.files and not field.many:
            found = store.values(name)
            assert [found[int(c)] for c in codes] == [v or UNKNOWN for v in values]
            assert len(pairs) == len(set(values))


@few(15)
@given(given=st.lists(FIELDS, min_size=1, max_size=9), others=st.lists(FIELDS, max_size=5))
def test_each_document_has_its_own_values(tmp_path_factory, tokenizer, given, others):
    folder = tmp_path_factory.mktemp("store")
    write(folder / "a", tokenizer, given)
    check(folder / "a", list(map(shown, given)))
    both = given
    if others:
        write(folder / "b", tokenizer, others, shard_documents=2, first=100)
        merge_stores([folder / "a", folder / "b"], folder / "ab")
        both = given + others
        check(folder / "ab", list(map(shown, both)))
    source = folder / ("ab" if others else "a")
    sample_store(source, folder / "some", max(1, len(both) // 2))
    store = TokenStore.open(folder / "some", check_hashes=True)
    split = store.split("train")
    numbers = [int(h) for h in split.content_hash]
    by_hash = dict(zip([*range(len(given)), *range(100, 100 + len(others))], both, strict=True))
    assert [dict(split.record(i).extra) for i in range(len(split))] == [
        shown(by_hash[n]) for n in numbers
    ]


@few(10)
@given(given=st.lists(FIELDS, min_size=2, max_size=9))
def test_a_prefix_shows_a_document_its_own_values(tmp_path_factory, tokenizer, given):
    root = write(tmp_path_factory.mktemp("store") / "a", tokenizer, given)
    store = TokenStore.open(root)
    names = [n for n in ("topics", "topic", "author") if n in store.manifest.fields]
    policy = MetadataPolicy(fields=(*names, "country"))
    composer, split = Composer(policy, store.tokenizer()), store.split("train")
    keys = key_columns(lines_of(policy))
    read, blocks = split.code_reader(keys), {}
    for i, fields in enumerate(given):
        told = shown(fields)
        lines = [f"{n.upper()}: {told[n]}" for n in names if n in told]
        # As the loader does: a block stands for all documents with its key.
        block = blocks.setdefault(read(i), "".join(composer.block_texts(split.record(i))))
        assert block == "\n".join([*lines, "COUNTRY: gb"])


@few(6)
@given(
    given=st.lists(FIELDS, min_size=2, max_size=9),
    others=st.lists(FIELDS, min_size=1, max_size=5),
    dropout=st.sampled_from([{}, {"topics": 0.5}]),
)
def test_rows_show_each_document_its_own_values(
    tmp_path_factory, tokenizer, given, others, dropout
):
    """Through packing, caches and dropout, over a merged store; compared as decoded text."""
    folder = tmp_path_factory.mktemp("store")
    write(folder / "a", tokenizer, given)
    write(folder / "b", tokenizer, others, shard_documents=2, first=100)
    merge_stores([folder / "a", folder / "b"], folder / "ab")
    store = TokenStore.open(folder / "ab")
    split, model = store.split("train"), store.tokenizer()
    names = [n for n in ("topics", "topic", "author") if n in store.manifest.fields]
    policy = MetadataPolicy(
        fields=(*names, "country"), field_dropout={n: dropout[n] for n in dropout if n in names}
    )
    data = Data(store="unused", seq_length=1024, packing_window=4)
    rows = StageDataset(split, data, policy, model, np.arange(len(split)), 3, None)
    shown_of = {}
    for row, fragments in ((rows[n], rows.index.sequence(n)) for n in range(len(rows))):
        begins = np.flatnonzero((row.position_ids == 0) & (row.group_ids >= 0))
        assert len(begins) == len(fragments)
        for start, fragment in zip(begins, fragments, strict=True):
            end = start + int(np.argmax(row.label_kinds[start:] != Kind.METADATA))
            shown_of[fragment.document] = model.decode(row.labels[start:end]), fragment.kept
    assert sorted(shown_of) == list(range(len(split)))
    for document, (text, kept) in shown_of.items():
        told = shown((given + others)[document])
        lines = [f"{n.upper()}: {told[n]}" for place, n in enumerate(names)
                 if n in told and kept >> place & 1]  # fmt: skip
        expected = "\n".join([*lines, "COUNTRY: gb"]) + "\n\n"
        assert text == expected


def test_types_follow_how_many_values_there_are(tmp_path, tokenizer):
    given = [{"few": f"v{n % 250}", "more": f"v{n % 300}"} for n in range(700)]
    store = TokenStore.open(write(tmp_path / "a", tokenizer, given, shard_documents=700))
    files = store.manifest.splits["train"].shards[0].files
    assert files["field.few.code.bin"].dtype == "uint8"
    assert files["field.more.code.bin"].dtype == "uint16"


def test_more_values_than_are_numbered_are_kept_as_text(tmp_path, tokenizer):
    given = [{"author": f"a{n}", "topic": "x"} for n in range(9)]
    root = tmp_path / "a"
    root.mkdir()
    write(tmp_path / "whole", tokenizer, given)
    entries = TokenStore.open(tmp_path / "whole").manifest.splits["train"].shards
    places = [(tmp_path / "whole" / e.path, e) for e in entries]
    for _, entry in places:
        (root / entry.path).mkdir(parents=True)
    fields, maps = field_writer.write_fields(root, places, {}, most=8)
    assert (fields["author"].kind, fields["author"].files) == ("text", {})
    assert (fields["topic"].kind, fields["topic"].values) == ("category", 2)
    assert [sorted(each) for each in maps] == [["field.topic.map.bin"]] * 3
    assert field_writer.write_fields(root, places, {}, most=9)[0]["author"].values == 10


def test_a_record_travels_to_another_process(tmp_path, tokenizer):
    store = TokenStore.open(write(tmp_path / "a", tokenizer, [{"topics": ("x", "y")}]))
    record = pickle.loads(pickle.dumps(store.split("train").record(0)))
    assert record.extra == {"topics": "x, y"}
    assert record.column("topics") == "x, y" and record.column("topic") is None


def test_stores_with_a_field_of_different_types_are_not_merged(tmp_path, tokenizer):
    for name, kind in (("a", "category"), ("b", "number")):
        write(tmp_path / name, tokenizer, [{"topic": "1"}], kinds={"topic": kind}, first=ord(name))
    with pytest.raises(UserError, match="field topic as a number, a store before it as a category"):
        merge_stores([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    assert not (tmp_path / "ab").exists()


DAMAGE = {
    "train/00000/field.topic.code.bin": "above",
    "train/00000/field.topic.map.bin": "above",
    "train/00000/field.topics.item.bin": "above",
    "train/00000/field.topic.text.bin": "no UTF-8",
    "fields/topic.text.bin": "no UTF-8",
    "fields/topic.end.bin": "does not match",
}


@pytest.mark.parametrize("file", DAMAGE)
def test_what_a_column_of_a_field_cannot_mean_is_found(tmp_path, tokenizer, file):
    """Even where the manifest has the hash of what stands there."""
    root = write(tmp_path / "a", tokenizer, [{"topic": "xy", "topics": ("p", "q")}, {"topic": "z"}])
    path = root / file
    path.write_bytes(b"\xff" * path.stat().st_size)
    manifest = json.loads((root / "manifest.json").read_text())
    folder, _, name = file.rpartition("/")
    if folder == "fields":
        entry = manifest["fields"][name.split(".")[0]]["files"][name.split(".")[1]]
    else:
        entry = manifest["splits"]["train"]["shards"][0]["files"][name]
    entry["sha256"] = sha256(path.read_bytes()).hexdigest()
    (root / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=DAMAGE[file]):
        TokenStore.open(root, check_hashes=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["fields"].pop("topic"), "of no field"),
        (lambda m: m["fields"]["topic"].update(values=7), "has not as many values"),
        (lambda m: m["fields"]["topic"]["files"].pop("end"), "lacks a file"),
        (lambda m: m["fields"].update({"../x": m["fields"]["topic"]}), "fields"),
    ],
)
def test_a_manifest_that_does_not_agree_about_fields_is_refused(tmp_path, tokenizer, change, said):
    root = write(tmp_path / "a", tokenizer, [{"topic": "xy"}])
    manifest = json.loads((root / "manifest.json").read_text())
    change(manifest)
    (root / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=said):
        TokenStore.open(root)


def test_values_of_a_million_documents_cost_little_memory(tmp_path, tokenizer):
    """Codes of a field are read where they stand: a document costs what its code takes."""
    given = [{"topic": f"t{n % 1000}"} for n in range(5000)]
    store = TokenStore.open(write(tmp_path / "a", tokenizer, given, shard_documents=5000))
    column = store.shards("train")[0].fields["topic"]
    assert column.local.dtype == np.uint16 and not column.local.flags.owndata
    assert Counter(column.codes().tolist()).most_common(1)[0][1] == 5
