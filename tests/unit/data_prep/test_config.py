"""The config of a preparation: the recipe, sources, and mistakes that name themselves."""

import pytest

from data_prep.config import Prep
from geo_nemo.config import UserError
from geo_nemo.config.load import load_config, validate

BASE = {"input": "a.jsonl", "output": "out"}


def test_recipe_gives_the_defaults_of_the_schema():
    assert load_config("prep", Prep, ["input=a.jsonl", "output=out"]) == Prep(**BASE)


def test_input_is_one_path_or_many_or_sources():
    config = load_config("prep", Prep, ["input=[a.jsonl,{path: b.gz, name: now}]", "output=o"])
    assert [(s.path, s.name, s.format) for s in config.input] == [
        ("a.jsonl", "default", "auto"),
        ("b.gz", "now", "auto"),
    ]


def test_countries_are_read_as_codes():
    assert Prep(**BASE, annotate={"countries": ["uk", "US"]}).annotate.countries == ("gb", "us")
    assert Prep(**BASE, balance={"cap": {"UK": 3}}).balance.cap == {"gb": 3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"annotate": {"countries": ["zz"]}}, "'zz' is neither a code"),
        ({"annotate": {"countries": ["gb", "UK"]}}, "is listed twice"),
        ({"input": []}, "no input file is named"),
        (
            {"input": [{"path": "a", "format": "xml"}]},
            r"input\.0\.format: xml is not a reader; there is arc, ",
        ),
        ({"splits": {"train": 0.5}}, "add up to 0.56, not 1"),
        ({"splits": {"by": "year"}}, "by=year needs test_years"),
        ({"tokenizer": {"vocab_size": 10}}, "vocab_size"),
        ({"limits": {"record_bytes": 10}}, "limits.record_bytes"),
        ({"outlets": "x.csv"}, "unknown key outlets"),
        ({"dedup": {"near": {"action": "delete"}}}, "dedup.near.action='delete'"),
    ],
)
def test_mistakes(values, message):
    with pytest.raises(UserError, match=message):
        validate("prep", Prep, BASE | values)


def test_a_country_that_is_named_twice_is_a_mistake():
    for name in ("keep", "cap"):
        with pytest.raises(ValueError, match="'USA' is a country that is named twice, as us"):
            Prep(input="a.jsonl", output="o", balance={name: {"us": 1, "USA": 1}})


def test_passwords_of_a_reader_are_not_written():
    source = {"path": "a.db", "format": "tests.plugin:Reader"}
    source["options"] = {"server": "postgres://me:secret@db.example/news"}
    config = Prep(input=[source], output="o")
    assert config.input[0].options == source["options"]
    assert "secret" not in config.model_dump_json()
