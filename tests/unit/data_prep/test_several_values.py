"""What is kept of a list of values."""

import pytest

from data_prep.annotate.own_fields import OwnFields
from data_prep.config import Prep, Source
from data_prep.config.extra import ExtraField
from data_prep.graph import run_prep
from geo_nemo.config import UserError
from geo_nemo.config.load import load_config
from geo_nemo.store.field_column import SEVERAL
from tests.unit.data_prep.worlds import record, write_jsonl


def test_the_first_of_several_values_can_be_kept_alone():
    own = OwnFields({"topic": "category", "tags": "category"}, 256, {"topic"})
    lists = [["", None, "b", "a"], ["a"], ["c", "c"], [], "d"]
    found = [own.of({"extra.topic": each, "extra.tags": each}) or {} for each in lists]
    assert [each.get("topic") for each in found] == ["b", "a", "c", None, "d"]
    assert [each.get("tags") for each in found] == [f"b{SEVERAL}a", "a", "c", None, "d"]
    assert (own.counts["topic"]["first"], own.counts["topic"]["several"]) == (1, 0)
    assert own.counts["tags"]["several"] == 1


def test_the_usual_way_with_lists_changes_no_key_of_a_stage():
    usual, first = ExtraField(column="a"), ExtraField(column="a", several="first")
    assert usual.model_dump() == {"column": "a", "type": "category"}
    assert first.model_dump() == {"column": "a", "type": "category", "several": "first"}
    assert ExtraField.model_validate(first.model_dump()) == first


def test_sources_agree_on_what_is_kept_of_a_list():
    first = {"column": "a", "several": "first"}
    made = Prep(output="o", input=[Source(path="a", fields={"extra": {"topic": first}})] * 2)
    assert made.firsts == {"topic"}
    for pair in ((first, "a"), ("a", first)):
        sources = [Source(path="a", fields={"extra": {"topic": each}}) for each in pair]
        with pytest.raises(ValueError, match=r"fields.extra.topic keeps the first of several"):
            Prep(output="o", input=sources)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("fields.extra.topic=", "fields.extra.topic: it names no column: write its name, or {col"),
        ("fields.extra.topic=[a,b]", "fields.extra.topic: ['a', 'b'] names no column: write its"),
        ("fields.extra.topic={type: text}", "fields.extra.topic: it names no column: write its"),
        (
            "input=[{path: a, set: {topic: {b: 1}}}]",
            "input.0.set: topic={'b': 1} is no constant: write a text, a number, true or false, or",
        ),
    ],
)
def test_what_names_no_column_is_one_line_for_one_mistake(given, told):
    with pytest.raises(UserError) as refused:
        load_config("prep", Prep, ["input=a", "output=b", given])
    assert str(refused.value).startswith(f"prep: {told}")
    assert "\n" not in str(refused.value) and "more)" not in str(refused.value)


def test_objects_are_no_category_and_the_line_says_what_to_do(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [record(i) | {"meta": {"a": 1}} for i in range(3)])
    field = {"extra": {"topic": "meta"}}
    source = Source(path=str(tmp_path / "in.jsonl"), fields=field)
    with pytest.raises(UserError, match="none of its 3 values is of type category: they are neit"):
        run_prep(Prep(output=str(tmp_path / "out"), input=[source], execution={"workers": 1}))


def test_long_values_are_not_remembered():
    own = OwnFields({"summary": "text"}, 256)
    for number in range(100):
        own.of({"extra.summary": f"{number} " + "rain " * 100, "extra.other": "x"})
        own.of({"extra.summary": f"{number}"})
    ((_, _, _, cache),) = own._kinds
    assert sorted(cache, key=int) == [str(number) for number in range(100)]
