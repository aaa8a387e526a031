"""What is kept of a list of values."""

import pytest

from data_prep.annotate.own_fields import OwnFields
from data_prep.config import Prep, Source
from data_prep.config.extra import ExtraField
from geo_nemo.store.field_column import SEVERAL


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
