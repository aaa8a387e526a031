"""The config of a preparation: inputs, patterns, and mistakes that name themselves."""

import pytest

from data_prep.narrow_config import Prep
from geo_nemo.config import UserError
from geo_nemo.config.load import load_config, validate

BASE = {"input": "a.jsonl", "output": "out"}


def test_recipe_gives_the_defaults_of_the_schema():
    config = load_config("prep", Prep, ["input=a.jsonl", "output=out"])
    assert config == Prep(**BASE)


def test_input_is_one_path_or_many():
    assert load_config("prep", Prep, ["input=[a.jsonl,b.gz]", "output=o"]).input == (
        "a.jsonl", "b.gz",
    )  # fmt: skip


def test_countries_are_read_as_codes():
    assert Prep(**BASE, countries=["GB", "uk", "us"][1:]).countries == ("gb", "us")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"countries": ["zz"]}, "'zz' is no ISO 3166 alpha-2 code"),
        ({"countries": ["gb", "UK"]}, "is listed twice"),
        ({"input": []}, "no input file is named"),
        ({"splits": {"train": 0.5}}, "add up to 0.56, not 1"),
        ({"tokenizer": {"vocab_size": 10}}, "vocab_size"),
        ({"max_line_bytes": 10}, "max_line_bytes"),
        ({"outlet": "x.csv"}, "unknown key outlet; did you mean outlets"),
    ],
)
def test_mistakes(values, message):
    with pytest.raises(UserError, match=message):
        validate("prep", Prep, BASE | values)


def test_input_files(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "with [brackets].jsonl"):
        (tmp_path / name).write_text("")
    files = Prep(input=f"{tmp_path}/?.jsonl", output="o").input_files()
    assert [f.name for f in files] == ["a.jsonl", "b.jsonl"]
    odd = Prep(input=f"{tmp_path}/with [brackets].jsonl", output="o").input_files()
    assert [f.name for f in odd] == ["with [brackets].jsonl"]
    for given, message in [
        (f"{tmp_path}/*.gz", "no file matches"),
        (f"{tmp_path}/none", "no such file"),
        (f"{tmp_path}", "is no file"),
    ]:
        with pytest.raises(UserError, match=message):
            Prep(input=given, output="o").input_files()
    twice = Prep(input=[f"{tmp_path}/a.jsonl", f"{tmp_path}/./a.jsonl"], output="o")
    with pytest.raises(UserError, match="is named twice"):
        twice.input_files()
