"""Columns of the input that are kept as metadata: from any format to the store, and bad ones."""

import csv
import io
import json
import math
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.annotate.own_fields import OwnFields, mixed
from data_prep.card import CardData
from data_prep.card.fields import field_notes
from data_prep.config import Prep
from data_prep.corpus_out import read_corpus
from data_prep.engine import run_stage
from data_prep.extra_fields import summed_fields
from data_prep.graph import run_prep
from data_prep.ingest import Ingest, all_parts
from data_prep.plan import make_plan
from geo_nemo.config import UserError
from geo_nemo.config.load import load_config
from geo_nemo.store import TokenStore
from geo_nemo.store.field_column import SEVERAL
from tests.unit.data_prep.read.samples import arrow, parquet, raws, response, warc_record
from tests.unit.data_prep.read.samples import read as read_file
from tests.unit.data_prep.worlds import record, records, write_jsonl

SECTIONS = ["sport", "arts & books", None, "é — politics", ""]
TOPIC = {"extra": {"topic": "section", "price": {"column": "price", "type": "number"}}}


def rows(count=10):
    return [
        record(i) | {"section": SECTIONS[i % 5], "price": i + 0.5 if i % 2 else i}
        for i in range(count)
    ]


def topics(count=10):
    return [SECTIONS[i % 5] or None for i in range(count)]


def read(path, **source):
    return raws(read_file(path, **source)[0])


def as_csv(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_jsonl(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_tar(rows):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for i, row in enumerate(rows):
            row = dict(row)
            # Of one record the topic is in its JSON, of the next it is a member.
            members = {"txt": row.pop("text").encode()}
            if i % 2:
                members["section"] = (row.pop("section") or "").encode()
            members["json"] = json.dumps(row).encode()
            for ending, content in members.items():
                member = tarfile.TarInfo(f"{i:05d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


FORMATS = {
    "rows.jsonl": as_jsonl,
    "rows.csv": as_csv,
    "rows.parquet": lambda rows: parquet(pa.Table.from_pylist(rows)),
    "rows.arrow": lambda rows: arrow(pa.Table.from_pylist(rows)),
    "categories.parquet": lambda rows: parquet(categories(rows)),
    "rows.tar": as_tar,
}


def categories(rows):
    """As pandas writes a column of categories."""
    table = pa.Table.from_pylist(rows)
    place = table.schema.get_field_index("section")
    return table.set_column(place, "section", table["section"].dictionary_encode())


@pytest.mark.parametrize("name", FORMATS)
def test_every_reader_gives_the_columns_that_are_asked_for(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FORMATS[name](rows()))
    found = read(path, fields=TOPIC)
    own = OwnFields({"topic": "category", "price": "number"}, 256)
    values = [own.of(fields) or {} for fields in found]
    assert [each.get("topic") for each in values] == topics()
    assert [each["price"] for each in values] == [f"{i + 0.5 if i % 2 else i}" for i in range(10)]


def test_a_column_of_lists_and_one_inside_an_object_are_read(tmp_path):
    made = [record(i) | {"meta": {"tags": ["a", "b"][: i % 3]}} for i in range(4)]
    wanted = [None, "a", f"a{SEVERAL}b", None]
    for name in ("rows.jsonl", "rows.parquet"):
        path = tmp_path / name
        path.write_bytes(FORMATS[name](made))
        found = read(path, fields={"extra": {"topics": "meta.tags"}})
        own = OwnFields({"topics": "category"}, 256)
        assert [(own.of(fields) or {}).get("topics") for fields in found] == wanted


def test_headers_of_a_web_archive_are_fields(tmp_path):
    page = "<html><body><p>" + "A page about the town. " * 20 + "</p></body></html>"
    block = response(page.encode(), more="Last-Modified: Mon\r\n")
    path = tmp_path / "a.warc"
    path.write_bytes(warc_record(block, WARC_IP_Address="192.0.2.7"))
    extra = {"address": "WARC-IP-Address", "changed": "Last-Modified", "none": "X-None"}
    (raw,) = read(path, fields={"extra": extra})
    assert raw["extra.address"] == "192.0.2.7" and raw["extra.changed"] == "Mon"
    assert "extra.none" not in raw


def test_a_column_that_cannot_be_read_costs_the_document_its_value_alone(tmp_path):
    table = pa.Table.from_pylist([record(i) for i in range(3)])
    bad = pa.array([b"ok", b"\xff\xfe", None], pa.binary())
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(table.append_column("section", bad)))
    own = OwnFields({"topic": "category"}, 256)
    found = [own.of(raw) for raw in read(path, fields={"extra": {"topic": "section"}})]
    assert found == [{"topic": "ok"}, None, None]
    assert own.counts["topic"] == {"documents": 1, "texts": 1, "unusable": 1}


CASES = [
    ("category", "sport", "sport", {"texts": 1}),
    ("category", "  two\n lines\u2028here ", "two lines here", {"texts": 1, "line_breaks": 1}),
    ("category", "<|end_of_text|>x", "<|end_of_text|>x", {"texts": 1, "control_tokens": 1}),
    ("category", "é" * 5000, "é" * 128, {"texts": 1, "cut": 1}),
    ("category", "a\x00\x1fb", "ab", {"texts": 1}),
    ("category", 12.0, "12", {"numbers": 1}),
    ("category", True, "true", {"truth_values": 1}),
    ("category", math.nan, None, {}),
    ("category", " \n", None, {}),
    ("category", "nan", None, {}),
    ("category", ["<NA>", "a"], "a", {"texts": 1}),
    ("number", "N/A", None, {}),
    ("date", "null", None, {}),
    ("category", {"a": 1}, None, {"unusable": 1}),
    ("category", ["a", "b", "a", None, math.nan], f"a{SEVERAL}b", {"texts": 1, "several": 1}),
    ("category", ["x" * 200, "y" * 200], "x" * 200, {"texts": 1, "cut": 1}),
    ("category", [["a"]], None, {"unusable": 1}),
    ("category", [], None, {}),
    ("text", "free text", "free text", {"texts": 1}),
    ("number", " 12.50 ", "12.5", {}),
    ("number", 2.0, "2", {}),
    ("number", "1e400", None, {"unusable": 1}),
    ("number", "twelve", None, {"unusable": 1}),
    ("number", "nan", None, {}),
    ("number", True, None, {"unusable": 1}),
    ("number", 10**60, None, {"unusable": 1}),
    ("date", "Fri, 31 May 2024 10:00", "2024-05-31", {}),
    ("date", 1717113600, "2024-05-31", {}),
    ("date", "soon", None, {"unusable": 1}),
    ("date", "", None, {}),
]


@pytest.mark.parametrize(("kind", "value", "expected", "counted"), CASES)
def test_a_value_is_one_line_of_its_type_and_what_changed_is_counted(
    kind, value, expected, counted
):
    own = OwnFields({"topic": kind}, 256)
    for _ in range(2):  # the second time from the cache
        assert own.of({"extra.topic": value}) == (expected and {"topic": expected})
    counted = dict(counted, documents=1) if expected else counted
    assert own.counts["topic"] == {name: 2 * n for name, n in counted.items()}


@given(st.text() | st.lists(st.text() | st.none() | st.floats()), st.integers(32, 60))
def test_any_value_is_a_line_of_its_bytes(value, most):
    own = OwnFields({"topic": "category"}, most)
    found = own.of({"extra.topic": value})
    for text in (found or {"topic": ""})["topic"].split(SEVERAL):
        assert len(text.encode()) <= most
        assert text.isprintable() or "\n" not in text
        assert text == " ".join(text.split())


def test_values_of_several_types_are_known_to_be_mixed():
    own = OwnFields({"topic": "category"}, 256)
    for value in ("a", 1, None):
        own.of({"extra.topic": value})
    assert mixed(own.counts["topic"])
    assert not mixed({"texts": 3, "documents": 3})


def prep_of(tmp_path, given, name="in.jsonl", **settings):
    write_jsonl(tmp_path / name, given)
    return Prep.model_validate(
        {"input": str(tmp_path / name), "output": str(tmp_path / "out"),
         "tokenizer": {"vocab_size": 400, "shrink": True}, "execution": {"workers": 1},
         "splits": {"train": 1, "validation": 0, "test": 0}, **settings}
    )  # fmt: skip


def by_path(config):
    """Fields by document, as the store has them."""
    split = TokenStore.open(Path(config.output, "store"), check_hashes=True).split("train")
    records = [split.record(i) for i in range(len(split))]
    return {record.path: dict(record.extra) for record in records}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with a category, a list, a number, a constant and dates."""
    tmp_path = tmp_path_factory.mktemp("made")
    given = [
        record(i)
        | {"section": SECTIONS[i % 5], "tags": ["a", "b", "c"][: i % 4], "price": i / 2,
           "date": f"2024-05-{i + 1:02}"}
        for i in range(12)
    ]  # fmt: skip
    given[3]["price"] = "free"
    given.append(dict(given[0], text="", id="dropped"))
    config = prep_of(
        tmp_path,
        given,
        input=[
            {"path": str(tmp_path / "in.jsonl"), "set": {"license": "CC-BY", "language": "en"}},
        ],
        fields={
            "extra": {
                "topic": "section", "topics": "tags", "price": {"column": "price", "type": "number"}
            }
        },
        corpus="parquet",
    )  # fmt: skip
    run_prep(config)
    return config


def test_each_document_keeps_its_values_to_the_store(made):
    found = by_path(made)
    for i in range(12):
        expected = {
            "license": "CC-BY",
            "language": "en",
            "date": f"2024-05-{i + 1:02}",
            **({"topic": SECTIONS[i % 5]} if SECTIONS[i % 5] else {}),
            **({"topics": ", ".join(["a", "b", "c"][: i % 4])} if i % 4 else {}),
            **({"price": f"{i / 2:g}"} if i != 3 else {}),
        }
        assert found[f"/story/{i}"] == expected
    fields = TokenStore.open(Path(made.output, "store")).manifest.fields
    assert {name: (field.kind, field.many) for name, field in fields.items()} == {
        "date": ("date", False),
        "language": ("category", False),
        "license": ("category", False),
        "price": ("number", False),
        "topic": ("category", False),
        "topics": ("category", True),
    }


def test_the_corpus_has_them_and_lists_are_lists(made):
    for document in read_corpus(Path(made.output, "corpus"), "train"):
        i = int(document["path"].rpartition("/")[2])
        assert document["topic"] == (SECTIONS[i % 5] or None)
        assert document["topics"] == (["a", "b", "c"][: i % 4] or None)
        assert document["license"] == "CC-BY"
        assert len(document["hash"]) == 16


def test_webdataset_has_them_too(made, tmp_path):
    config = made.model_copy(update={"corpus": "webdataset", "output": str(tmp_path / "out")})
    run_prep(config)
    found = {d["id"]: d for d in read_corpus(tmp_path / "out" / "corpus", "train")}
    assert found["doc-3"]["topics"] == ["a", "b", "c"] and "topics" not in found["doc-4"]
    assert found["doc-3"]["topic"] == "é — politics" and "topic" not in found["doc-2"]


def test_what_was_changed_is_counted(made):
    counts = summed_fields(receipt.counts for receipt in Ingest(made).receipts())
    assert counts["price"] == {"documents": 11, "unusable": 1}
    assert counts["topics"]["several"] == 6


def test_workers_and_tasks_make_no_difference(made, tmp_path):
    limits = made.limits.model_copy(update={"task_bytes": 1})
    config = made.model_copy(update={"output": str(tmp_path / "out"), "limits": limits})
    run_prep(config)
    assert by_path(config) == by_path(made)


def test_a_constant_is_for_records_that_do_not_say(tmp_path):
    given = [record(0) | {"rights": "own"}, record(1), record(2) | {"rights": None}]
    given[1].pop("country")
    for row in given:
        row["url"] = row["url"].replace("news.co.uk", "example.com")
    config = prep_of(
        tmp_path,
        given,
        input=[
            {
                "path": str(tmp_path / "in.jsonl"),
                "fields": {"extra": {"license": "rights"}},
                "set": {"license": "CC-BY", "country": "ke"},
            }
        ],
    )
    run_prep(config)
    assert [each["license"] for each in by_path(config).values()] == ["own", "CC-BY", "CC-BY"]
    store = TokenStore.open(Path(config.output, "store"))
    assert [store.countries[c] for c in store.split("train").country] == ["gb", "ke", "gb"]


@pytest.mark.parametrize("blank", ["", " ", "N/A", "nan", [], None])
def test_what_is_blank_in_a_record_gives_way_to_a_constant_in_every_format(tmp_path, blank):
    row = {"url": "https://a.example.com/1", "text": "Tea.", "country": blank, "rights": blank}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    (tmp_path / "b.csv").write_text("url,text,country,rights\nhttps://a.example.com/2,Rain.,,\n")
    (tmp_path / "c.parquet").write_bytes(parquet(pa.table({n: [v] for n, v in row.items()})))
    constants = {"license": "CC-BY", "country": "ke"}
    sources = [
        {"path": str(tmp_path / name), "set": constants, "fields": {"extra": {"license": "rights"}}}
        for name in ("a.jsonl", "b.csv", "c.parquet")
    ]
    config = Prep(input=sources, output=str(tmp_path / "o"), execution={"workers": 1})
    run_stage(Ingest(config))
    found = [pq.read_table(part.path).to_pylist() for part in all_parts(config)]
    assert [(d["country"], d["license"]) for rows in found for d in rows] == [("ke", "CC-BY")] * 3


def test_many_values_are_text_and_no_error(tmp_path):
    given = [record(i) | {"section": f"s{i}"} for i in range(30)]
    config = prep_of(tmp_path, given, fields={"extra": {"topic": "section"}},
                     limits={"max_values": 29})  # fmt: skip
    run_prep(config)
    store = TokenStore.open(Path(config.output, "store"), check_hashes=True)
    assert store.manifest.fields["topic"].kind == "text" and store.values("topic") is None
    assert by_path(config)["/story/7"]["topic"] == "s7"


BAD = [
    ({"topic": "sectoin"}, "fields.extra.topic=sectoin: no document has it; the records have id, "
     "url, country, title, text, section; did you mean section?"),
    ({"language": "section"}, "language is built in: write fields.language=COLUMN"),
    ({"host": "section"}, "host is built in: choose another name"),
    ({"path": "section"}, "path is built in: choose another name"),
    ({"quality": "section"}, "quality is built in: write fields.quality=COLUMN"),
    ({"Topic": "section"}, "'Topic' is no name of a field"),
    ({"a b": "section"}, "'a b' is no name of a field"),
    ({"topic": {"column": "section", "type": "money"}}, "type"),
    ({"topic": {"column": "section", "type": "date"}}, "none of its 6 values is of type date: "
     "write fields.extra.topic={column: section, type: category}"),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "said"), BAD)
def test_a_mistake_is_one_line(tmp_path, extra, said):
    given = [record(i) | {"section": SECTIONS[i % 5]} for i in range(10)]
    write_jsonl(tmp_path / "in.jsonl", given)
    settings = {
        "defaults": ["prep", "_self_"],
        "input": str(tmp_path / "in.jsonl"),
        "output": str(tmp_path / "out"),
        "fields": {"extra": extra},
        "execution": {"workers": 1},
    }
    (tmp_path / "mine.yaml").write_text(json.dumps(settings))
    with pytest.raises(UserError) as error:
        run_prep(load_config(str(tmp_path / "mine.yaml"), Prep))
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out" / "store").exists()


def test_fields_are_given_on_the_command_line(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", records(3))
    words = [f"input={tmp_path / 'in.jsonl'}", "output=out"]
    config = load_config("prep", Prep, [*words, "fields.text=body", "fields.extra.topic=section"])
    (source,) = config.input
    assert source.fields.text == "body" and source.fields.url == "url"
    assert config.kinds == {"topic": "category"}
    with pytest.raises(UserError, match=r"^prep: unknown key fields\.txt; did you mean fields\.t"):
        load_config("prep", Prep, [*words, "fields.txt=body"])
    with pytest.raises(UserError, match=r"fields\.extra\.topic"):
        load_config("prep", Prep, [*words, "fields.extra.topic=[a]"])


OTHER = {"topic": "desk"}


def test_a_dry_run_tells_which_fields_the_records_have(tmp_path):
    given = [record(i) | {"section": SECTIONS[i % 5], "price": i} for i in range(20)]
    config = prep_of(tmp_path, given, fields={"extra": {"topic": "section", "author": "pric"}})
    sample = make_plan(config).sample
    assert sample.fields == {"author": 0.0, "topic": 0.6}
    assert list(sample.absent) == ["author"]
    assert sample.absent["author"].endswith("did you mean price?")
    assert not (tmp_path / "out").exists()


def test_a_source_has_its_own_fields_before_those_of_all(tmp_path):
    config = Prep.model_validate(
        {
            "output": "out",
            "fields": {"text": "body", "extra": {"topic": "section", "author": "by"}},
            "input": [
                "a",
                {"path": "b", "fields": {"text": "content", "extra": {"topic": "desk"}}},
            ],
        }
    )
    first, second = config.input
    assert (first.fields.text, second.fields.text) == ("body", "content")
    assert second.fields.extra["topic"].column == "desk"
    assert second.fields.extra["author"].column == "by"


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"license": " "}, "license is empty: give a value, or leave it out"),
        ({"topics": []}, "topics is empty"),
        ({"country": "zz"}, "country='zz' is no country: write its code, as gb"),
        ({"url": "x"}, "url cannot be set for a source; country, continent, date, language"),
        ({"host": "x"}, "host cannot be set for a source"),
        ({"A b": "x"}, "'A b' is no name of a field"),
    ],
)
def test_a_constant_that_no_document_can_have_is_one_line(constants, said):
    with pytest.raises(ValueError, match=said):
        Prep.model_validate({"output": "o", "input": [{"path": "a", "set": constants}]})


def test_a_bare_no_is_norway():
    config = Prep.model_validate(
        {"output": "o", "input": [{"path": "a", "set": {"country": False}}]}
    )
    assert config.input[0].set == {"country": "no"}


def test_one_type_a_field_over_all_sources():
    number = {"extra": {"price": {"column": "p", "type": "number"}}}
    with pytest.raises(ValueError, match="price is number for one source and category for another"):
        Prep.model_validate(
            {"output": "o", "input": [{"path": "a", "fields": number},
                                      {"path": "b", "fields": {"extra": {"price": "p"}}}]}
        )  # fmt: skip


def test_input_without_such_fields_has_the_key_that_it_had():
    config = Prep.model_validate({"output": "o", "input": "a"})
    assert "extra" not in config.input[0].key and "set" not in config.input[0].key


def test_the_card_tells_of_each_field(made):
    card = CardData.model_validate_json(Path(made.output, "report.json").read_bytes())
    assert list(card.fields) == ["license", "price", "topic", "topics"]
    topic, topics, price = (card.fields[name] for name in ("topic", "topics", "price"))
    assert (topic.documents, topic.values, topic.numbered) == (8, 3, True)
    assert topic.top == {"sport": 3, "arts & books": 3, "é — politics": 2}
    assert topics.top == {"a": 9, "b": 6, "c": 3} and topics.changed["several"] == 6
    assert price.changed == {"unusable": 1}
    notes = field_notes(card)
    assert "price: 1 value could not be used, taken as missing" in notes
    markdown = Path(made.output, "card.md").read_text()
    assert "| topic | category | 8 |" in markdown and all(note in markdown for note in notes)
    assert "arts &amp; books" in Path(made.output, "card.html").read_text()


def test_the_card_tells_what_was_changed_and_of_a_million_categories(tmp_path):
    values = ["x" * 300, "two\nlines", "<|end_of_text|>", 7, True, {"a": 1}]
    given = [record(i) | {"section": values[i % 6], "by": f"author {i}"} for i in range(12)]
    config = prep_of(tmp_path, given, fields={"extra": {"topic": "section", "author": "by"}},
                     limits={"max_values": 8})  # fmt: skip
    run_prep(config)
    card = CardData.model_validate_json(Path(config.output, "report.json").read_bytes())
    assert field_notes(card) == [
        "author: it has more than limits.max_values=8 values, and is kept as free text: documents "
        "are told it, and it makes no groups",
        "topic: 2 values cut to max_value_bytes",
        "topic: 2 values with line breaks, now spaces",
        "topic: 2 values with the name of a control token, which stays text",
        "topic: 2 values could not be used, taken as missing",
        "topic: of its values 6 are text, 2 are numbers, 2 are true or false; all are written as "
        "text",
    ]
