"""A quality that the measure cannot tell, and dates that can be read in two ways: kept as such."""

import tarfile

import orjson
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data_prep.card import CardData
from data_prep.card.markdown import to_markdown
from data_prep.config import Annotate, Prep
from data_prep.graph import run_prep
from data_prep.store_tools.where import parse_where
from geo_nemo.config.data import Select
from geo_nemo.data.selection import _Filter
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import NO_QUALITY
from tests.unit.data_prep.worlds import record, write_jsonl

LANGUAGES = ("en", "fr", None, "sw")


def prepared(folder, corpus="parquet", **settings):
    rows = [
        record(i) | {"lang": LANGUAGES[i % 4], "date": ("2024-04-03", "03/04/2024")[i % 2]}
        for i in range(24)
    ]
    rows[1]["q"] = 77  # one that its record brings is kept, whatever its language
    run_prep(
        Prep(
            input=({"path": str(write_jsonl(folder / "in.jsonl", rows)),
                    "fields": {"language": "lang", "quality": "q"}},),
            output=str(folder / "out"),
            corpus=corpus,
            annotate=settings,
            tokenizer={"vocab_size": 300, "shrink": True},
            execution={"workers": 1},
        )
    )  # fmt: skip
    return folder / "out"


def test_documents_of_languages_that_the_measure_does_not_serve_have_no_quality(tmp_path):
    out = prepared(tmp_path, quality_languages=["en"])
    tables = [pq.read_table(path) for path in (out / "corpus").glob("*.parquet")]
    rows = [row for table in tables for row in table.to_pylist()]
    assert len(rows) == 24
    for row in rows:
        brought = row["id"] == "doc-1"
        known = brought or row["language"] in ("en", "")
        assert (row["quality"] is not None) == known
        assert not brought or row["quality"] == 77
    store = TokenStore.open(out / "store")
    train = store.split("train")
    stored = [train.record(i).quality for i in range(len(train))]
    raw = train.quality.tolist()
    assert stored == [None if value == NO_QUALITY else value for value in raw]
    assert None in stored
    # A condition is of those whose quality is known; a stage keeps the others, as it says.
    shard = train._shards[0]
    for sign, least in ((">=", 0), ("<=", 100), ("!=", 200)):
        found = parse_where([f"quality{sign}{least}"]).matcher(store)(shard)
        assert found.tolist() == [value != NO_QUALITY for value in shard.quality.tolist()]
    kept = _Filter(train, "select", Select(min_quality=100))(slice(0, len(train)))
    assert kept.tolist() == [value is None or value >= 100 for value in stored]
    card = CardData.model_validate_json((out / "report.json").read_bytes())
    assert card.unmeasured == {"fr": 5, "sw": 6}
    assert sum(sum(split.quality) for split in card.splits.values()) == 24 - 11
    assert "does not serve all languages; without one: fr 5, sw 6" in to_markdown(card)


def test_tars_of_a_corpus_say_null_where_there_is_no_quality(tmp_path):
    out = prepared(tmp_path, "webdataset", quality_languages=["en"])
    found = {}
    for path in (out / "corpus").glob("*.tar"):
        with tarfile.open(path) as tar:
            members = [m for m in tar if m.name.endswith(".json")]
            rows = [orjson.loads(tar.extractfile(m).read()) for m in members]
        found |= {row["id"]: row for row in rows}
    assert found["doc-3"]["quality"] is None
    assert found["doc-0"]["quality"] > 0


def test_by_default_every_document_has_a_quality_and_an_ambiguous_date_its_year(tmp_path):
    out = prepared(tmp_path)
    card = CardData.model_validate_json((out / "report.json").read_bytes())
    assert card.unmeasured == {}
    assert (card.ambiguous_dates, card.ambiguous_date) == (12, "03/04/2024")
    assert "12 records have a date whose day and month cannot be told (03/04/2024)" in (
        to_markdown(card)
    )
    assert {day for _, day in days(out)} == {"2024-04-03", "2024"}


@pytest.mark.parametrize(
    ("order", "day"), [("day_first", "2024-04-03"), ("month_first", "2024-03-04")]
)
def test_a_rule_tells_day_and_month(tmp_path, order, day):
    out = prepared(tmp_path, ambiguous_dates=order)
    card = CardData.model_validate_json((out / "report.json").read_bytes())
    assert card.ambiguous_dates == 0
    assert {d for i, d in days(out) if i % 2} == {day}
    assert {d for i, d in days(out) if not i % 2} == {"2024-04-03"}


def days(out):
    tables = [pq.read_table(path) for path in (out / "corpus").glob("*.parquet")]
    return [(int(r["id"][4:]), r["date"]) for table in tables for r in table.to_pylist()]


def test_a_word_that_is_no_code_of_a_language_is_named():
    with pytest.raises(ValidationError, match="'english' is no code of a language"):
        Annotate(quality_languages=["english"])
