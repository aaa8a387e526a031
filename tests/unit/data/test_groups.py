"""Groups by any field: ids in sequences, ledger, means and errors, against the documents."""

from collections import Counter

import numpy as np
import pytest

from geo_nemo.config import UserError
from geo_nemo.data.groups import Axis, Grouping, grouping_of, mean_by_group
from geo_nemo.data.parts import index_places
from geo_nemo.data.sequences import NO_GROUP
from geo_nemo.data.stage import build_stage_index, indexed_dataset
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from geo_nemo.store.field_column import UNKNOWN
from geo_nemo.train.ledger import Ledger
from geo_nemo.train.setup import prepare
from tests.support.tiny import tiny_run
from tests.unit.data_prep.store_tools import worlds
from tests.unit.data_prep.store_tools.worlds import Text

FIELDS = {
    "country": lambda record: record.country,
    "continent": lambda record: record.continent,
    "source": lambda record: record.source,
    "year": lambda record: str(record.year) if record.year else UNKNOWN,
    "host": lambda record: record.host,
    "quality": lambda record: str(record.quality),
    "topic": lambda record: record.extra.get("topic", UNKNOWN),
}
GROUPS = [("country",), ("continent",), ("year",), ("source", "year"), ("host", "country"),
          ("quality", "continent"), ("topic",), ("country", "topic")]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of several shards, whose test split has years that the others have not."""
    folder = tmp_path_factory.mktemp("groups")
    places = [("a.co.uk", "gb"), ("b.com", "us"), ("b.com", "ke"), ("c.ie", "ie")]
    texts = {
        split: [
            Text(
                f"{split} document {number} " + "says again " * (number % 9),
                title="of the day" if number % 3 else "",
                host=places[number % 4][0],
                country=places[number % 4][1],
                year=years[number // 3 % len(years)],
                source=("now", "web", "old")[number % 3],
                quality=number % 5,
                fields=fields_of(number, topics),
            )
            for number in range(count)
        ]
        for split, count, years, topics in (
            ("train", 300, (0, 1999, 2020, -5), ("sport", None, "arts")),
            ("validation", 60, (2020, 0), ("arts", "unknown")),
            ("test", 40, (2024, 1999), ("science",)),
        )
    }  # fmt: skip
    tokenizer = worlds.write_tokenizer(folder, "sentencepiece")
    kinds = {"topic": "category", "tags": "category", "author": "text"}
    return TokenStore.open(worlds.write_store(folder / "store", tokenizer, texts, 64, kinds=kinds))


def fields_of(number, topics):
    """A topic of most, an author of each, tags of some."""
    topic, tags = topics[number // 2 % len(topics)], ("a", "b")[: number % 3]
    found = {"topic": topic, "tags": tags or None, "author": f"writer {number}"}
    return {name: value for name, value in found.items() if value is not None}


def run_of(store, output, groups=("country",), **changes):
    return tiny_run(store.root, output, groups=groups, **changes)


def name_of(fields, record) -> str:
    return ", ".join(FIELDS[field](record) for field in fields)


@pytest.mark.parametrize("groups", GROUPS, ids=", ".join)
def test_sequences_ledger_and_documents_agree_on_the_groups(store, tmp_path, groups):
    prepared = prepare(run_of(store, tmp_path, groups), world_size=1)
    split, made = store.split("train"), prepared.groups
    for document in range(len(split)):
        (group,) = made.of(split, np.array([document])).tolist()
        assert made.names[group] == name_of(groups, split.record(document))
    counted = Counter()
    stage = prepared.stages[0]
    dataset = prepared.dataset(stage)
    for number in range(len(dataset)):
        sequence = dataset[number]
        for place, fragment in enumerate(dataset.fragments(number)):
            span = slice(sequence.cu_seqlens[place], sequence.cu_seqlens[place + 1])
            (group,) = set(sequence.group_ids[span].tolist())
            name = name_of(groups, split.record(fragment.document))
            assert made.names[group] == name
            text = np.isin(sequence.label_kinds[span], [Kind.TITLE, Kind.BODY])
            cells = tuple(FIELDS[field](split.record(fragment.document)) for field in groups)
            for key in {cells} | {(place, cell) for place, cell in enumerate(cells)}:
                counted[key] += int(text.sum())
        assert set(sequence.group_ids[sequence.label_kinds == Kind.PAD].tolist()) <= {NO_GROUP}
    entry = Ledger(prepared).at(stage.last_step)["stages"][stage.name]["trained"]
    for place, field in enumerate(groups):
        assert {name: sums["text_tokens"] for name, sums in entry[f"by_{field}"].items()} == {
            key[1]: tokens for key, tokens in counted.items() if key[:1] == (place,)
        }
    if len(groups) == 2:
        crossed = entry[f"by_{groups[0]}_and_{groups[1]}"]
        assert {
            (sequence, cell): sums["text_tokens"]
            for sequence, cells in crossed.items()
            for cell, sums in cells.items()
        } == {key: tokens for key, tokens in counted.items() if isinstance(key[0], str)
              and len(key) == 2}  # fmt: skip
    else:
        assert not [key for key in entry if "_and_" in key]


def test_groups_are_the_same_in_every_split(store):
    made = grouping_of(store, ["year"])
    assert made.names == ("-5", "1999", "2020", "2024", UNKNOWN)
    for name in store.splits:
        split = store.split(name)
        years = [FIELDS["year"](split.record(i)) for i in range(len(split))]
        found = made.of(split, slice(None))
        assert [made.names[group] for group in found.tolist()] == years


def test_other_groups_make_another_index_of_the_same_sequences(store, tmp_path):
    split, tokenizer = store.split("train"), store.tokenizer()
    usual, other = (run_of(store, tmp_path, groups) for groups in (("country",), ("year",)))
    sequences = []
    for run, workers in ((usual, 0), (other, 0), (other, 2)):
        data = run.data.model_copy(update={"index_workers": workers, "index_dir": str(
            tmp_path / f"index-{workers}")})  # fmt: skip
        run = run.model_copy(update={"data": data})
        made = grouping_of(store, run.groups)
        index, _ = build_stage_index(run, store.hash, split, tokenizer, "condition", groups=made)
        dataset = indexed_dataset(run, split, tokenizer, "condition", index, made)
        sequences.append([dataset.fragments(number) for number in range(len(dataset))])
        sums = dataset.ledger(len(dataset))
        sequences.append(sorted(map(tuple, (of.values() for of in sums.values()))))
        folder = index_places(run, store.hash, split, "condition")[0].path
        assert folder.is_dir()
    assert sequences[0] == sequences[2] == sequences[4]
    assert sequences[1] != sequences[3] == sequences[5]


def test_the_usual_groups_change_neither_fingerprint_nor_key(store, tmp_path):
    split = store.split("train")
    without = run_of(store, tmp_path)
    by_year = run_of(store, tmp_path, "year")
    assert by_year.groups == ("year",)
    assert prepare(by_year, 1).fingerprint == prepare(without, 1).fingerprint
    assert "groups" not in prepare(without, 1).fingerprint
    keys = [index_places(run, store.hash, split, "condition")[0].path for run in (without, by_year)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("url:", "groups"),
        (["country", "year", "source"], "groups"),
        (["year", "year"], "names year twice"),
        ([], "groups"),
    ],
)
def test_settings_that_are_no_groups(store, tmp_path, groups, said):
    with pytest.raises(ValueError, match=said):
        run_of(store, tmp_path, groups)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("url_", "groups: no field url_, there is url, host"),
        ("section", "groups: no field section, there is url, host, .*, topic, author, .*tags;"),
        ("date", "groups: date as day needs the column date, which"),
    ],
)
def test_fields_that_the_store_has_not(store, tmp_path, groups, said):
    with pytest.raises(UserError, match=said):
        prepare(run_of(store, tmp_path, groups), world_size=1)


def test_free_text_and_lists_are_no_categories(store):
    with pytest.raises(UserError, match="groups: author is no category: it is free text; group by"):
        grouping_of(store, ["author"])
    with pytest.raises(UserError, match=r"may have several values of tags, .*several: first"):
        grouping_of(store, ["tags"])


def test_a_value_that_is_called_unknown_is_one_group_with_no_value(store):
    assert grouping_of(store, ["topic"]).names == ("arts", "science", "sport", UNKNOWN)


def test_a_field_of_one_value_a_document_is_no_category(store, monkeypatch):
    from geo_nemo.metadata.fields import FIELDS as REGISTRY
    from geo_nemo.metadata.fields import Field, Form

    monkeypatch.setitem(
        REGISTRY, "path", Field("path", "PATH", {"plain": Form(("path",), str, "path")})
    )
    with pytest.raises(UserError, match="groups: path is no category: each document has a value"):
        grouping_of(store, ["path"])


def test_too_many_groups_are_one_line(store, monkeypatch):
    from geo_nemo.data import groups

    monkeypatch.setattr(groups, "MOST_GROUPS", 3)
    with pytest.raises(UserError, match="groups: year has more than 3 values in"):
        grouping_of(store, ["year"])
    with pytest.raises(
        UserError, match="groups=source,continent: 3 values of source x 3 values of continent are"
    ):
        grouping_of(store, ["source", "continent"])


def test_means_of_two_fields_are_those_of_their_sums():
    rng = np.random.default_rng(3)
    names = ("a", "b", "c")
    axes = [Axis("one", names[:2], "x", np.arange(2)), Axis("two", names, "y", np.arange(3))]
    sums, counts = rng.random(6), np.array([1.0, 2, 0, 3, 0, 0])
    found = mean_by_group(Grouping(axes), (sums * counts), counts)
    table = (sums * counts).reshape(2, 3)
    assert found == {
        "one": {"a": table[0].sum() / 3, "b": table[1].sum() / 3},
        "two": {"a": table[:, 0].sum() / 4, "b": table[:, 1].sum() / 2},
    }
