"""Figures by any field, and by two together, against the documents' own records."""

import json
import pickle

import numpy as np
import pytest

from eval.config import EvalConfig
from eval.groups import MOST_UNASKED, fields_of, groups, told_fields
from eval.plan import make_plan
from eval.runner import evaluate
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store.field_column import Several
from tests.support.tiny import tiny_run
from tests.unit.eval.test_report import page_of


def record(country="gb", continent="Europe", year=0, **extra):
    return MetadataRecord("a.com", country, continent, year=year, extra=extra)


RECORDS = [
    record(year=2020, topic="sport"), record("ke", "Africa", topic="arts"), record("us", "America"),
    record(year=1999, topic="sport"), record("ke", "Africa", year=2020, topic="sport"),
]  # fmt: skip


def told(found) -> dict[str, dict[str, list[int]]]:
    kinds: dict[str, dict[str, list[int]]] = {}
    for group in found:
        kinds.setdefault(group.kind, {})[group.name] = group.places.tolist()
    return kinds


def test_every_document_is_in_one_group_of_each_field():
    found = told(groups(("country", "topic"), RECORDS))
    assert list(found) == ["all", "continent", "country", "topic", "country and topic"]
    assert found["topic"] == {"arts": [1], "sport": [0, 3, 4], "unknown": [2]}
    assert found["country and topic"] == {
        "gb, sport": [0, 3], "ke, arts": [1], "ke, sport": [4], "us, unknown": [2],
    }  # fmt: skip
    for kind in found.values():
        assert sorted(place for places in kind.values() for place in places) == list(range(5))


def test_a_document_of_several_values_is_in_the_group_of_each():
    both = Several(["sport", "arts, all"])
    records = [*RECORDS[:2], record("ke", "Africa", topic=both), record(tags=both)]
    found = told(groups(("topic", "country"), records))
    assert found["topic"] == {"arts": [1], "arts, all": [2], "sport": [0, 2], "unknown": [3]}
    assert found["topic and country"] == {
        "arts, all, ke": [2], "arts, ke": [1], "sport, gb": [0], "sport, ke": [2],
        "unknown, gb": [3],
    }  # fmt: skip
    assert told(groups(("tags",), records))["tags"] == {
        "arts, all": [3], "sport": [3], "unknown": [0, 1, 2],
    }  # fmt: skip
    assert pickle.loads(pickle.dumps(both)).values == ("sport", "arts, all")


def test_one_field_has_no_table_of_two():
    assert told(groups(("year",), RECORDS)).keys() == {"all", "year"}
    assert told(groups(("continent",), RECORDS)).keys() == {"all", "continent"}


def test_a_run_s_groups_are_those_of_its_evaluation(tmp_path):
    runs = [tiny_run(tmp_path, tmp_path, groups=g) for g in ("topic", ("country", "topic"))]
    assert fields_of(None, runs) == ("topic", "country")
    assert fields_of(("year",), runs) == ("year",)
    assert fields_of(None, []) == ("country",)


def policy(*fields):
    return MetadataPolicy(fields=fields)


def test_what_a_run_is_told_has_a_table_without_being_asked_for():
    shown = [policy("url", "country", "topic"), policy(), policy("continent", "year", "topic")]
    assert told_fields(shown, RECORDS, ("country",)) == ("topic", "year")
    assert told_fields(shown, RECORDS, ("topic",)) == ("year",)
    assert told_fields(shown, RECORDS[:1], ()) == ()  # one value tells nothing apart


def test_a_field_of_many_values_has_none_and_says_so(caplog):
    records = [record(id=str(number % MOST_UNASKED)) for number in range(300)]
    assert told_fields([policy("id")], records, ()) == ("id",)
    records.append(record(id="one more"))
    assert told_fields([policy("id")], records, ()) == ()
    assert "id has 201 values among the documents" in caplog.text and "groups=id" in caplog.text


def test_such_a_table_makes_no_pairs():
    found = told(groups(("country",), RECORDS, ("topic",)))
    assert list(found) == ["all", "continent", "country", "topic"]
    assert found["topic"] == {"arts": [1], "sport": [0, 3, 4], "unknown": [2]}


def test_too_many_groups_are_one_line():
    records = [record(id=str(number)) for number in range(10_001)]
    with pytest.raises(UserError, match="groups: id has 10,001 values among the documents"):
        groups(("id",), records)


def test_figures_by_two_fields_are_those_of_their_documents(config, loader, tmp_path):
    config = config.model_copy(update={"groups": ("host", "country")})
    found = evaluate(config, loader)["perplexity"]["cells"]
    plan = make_plan(config)
    arrays = np.load(tmp_path / "out" / "documents.npz")
    key = arrays["keys"].tolist().index("with/with")
    nats, tokens = arrays["body"][key], arrays["body_tokens"]
    records = [plan.items.record(int(index)) for index in arrays["index"]]
    cells = {
        cell["name"]: cell for cell in found
        if (cell["group"], cell["part"], cell["run"], cell["condition"])
        == ("host and country", "body", "with", "with")
    }  # fmt: skip
    names = np.array([f"{r.host}, {r.country}" for r in records])
    assert cells.keys() == set(names)
    for name, cell in cells.items():
        assert cell["nats"] == pytest.approx(
            nats[names == name].sum() / tokens[names == name].sum()
        )
    page = page_of(tmp_path / "out", tmp_path / "report.html")
    assert "By host and country" in page


def test_a_field_that_the_store_has_not_is_told_before_anything_is_scored(config, loader):
    config = config.model_copy(update={"groups": ("topic",)})
    with pytest.raises(UserError, match="groups: topic as plain needs the column topic"):
        evaluate(config, loader)


def test_groups_of_a_recipe_may_be_a_word():
    settings = {"runs": {"a": "x"}, "store": "s", "output": "o"}
    assert EvalConfig(**settings, groups="topic").groups == ("topic",)
    assert EvalConfig(**settings).groups is None
    with pytest.raises(ValueError, match="names topic twice"):
        EvalConfig(**settings, groups=["topic", "topic"])
    assert json.loads(EvalConfig(**settings).model_dump_json())["groups"] is None
