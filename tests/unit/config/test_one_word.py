"""One word where a list is wanted: in every setting of every section alike."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

import eval.atlas.config
import eval.probe.config  # noqa: F401
import geo_nemo.config.launch  # noqa: F401
from data_prep.config import Prep
from data_prep.config.input import FieldMap
from geo_nemo.config import MetadataPolicy, Select
from geo_nemo.config.logging import Profile
from geo_nemo.config.section import Section, listed
from geo_nemo.config.tune import Lora


def sections(of: type[Section] = Section) -> Iterator[type[Section]]:
    for each in of.__subclasses__():
        yield from (each, *sections(each))


LISTS = [
    pytest.param(section, name, id=f"{section.__name__}.{name}")
    for section in dict.fromkeys(sections())
    if not section.__module__.startswith("tests.")
    for name, field in section.model_fields.items()
    if listed("gb", field.annotation) == ["gb"]
]


def mistakes(section: type[Section], name: str, value: object) -> list[tuple]:
    """What is wrong with a setting, wherever in it; other settings may lack."""
    try:
        section.model_validate({name: value})
    except ValidationError as error:
        found = error.errors(include_url=False)
        return [(e["type"], e["msg"]) for e in found if e["loc"][:1] == (name,)]
    return []


@pytest.mark.parametrize(("section", "name"), LISTS)
@pytest.mark.parametrize("word", ["gb", 7])
def test_a_word_is_taken_or_refused_as_a_list_of_it(section, name, word):
    assert mistakes(section, name, word) == mistakes(section, name, [word])


def test_there_are_lists_of_all_commands():
    names = {param.id for param in LISTS}
    assert len(names) > 30
    assert {"MetadataPolicy.fields", "Select.countries", "Clean.rules", "EvalConfig.groups",
            "Dedup.against", "ProbeConfig.fields", "Profile.ranks"} <= names  # fmt: skip


def test_words():
    assert MetadataPolicy(fields="topic").fields == ("topic",)
    assert Select(countries=False).countries == ("no",)
    assert Profile(ranks=3, start_step=1).ranks == (3,)
    assert (Lora(targets="q_proj").targets, Lora().targets) == (("q_proj",), "all-linear")


@pytest.mark.parametrize("value", ["", None, {"a": 1}])
def test_nothing_and_a_dict_are_no_words(value):
    assert listed(value, tuple[str, ...]) is value
    with pytest.raises(ValidationError):
        MetadataPolicy(fields=value)


def test_a_word_stays_where_no_list_is_wanted():
    for annotation in (str, tuple[int, int], dict[str, tuple[str, ...]], list[str] | str):
        assert listed("a", annotation) == "a"
    assert listed("a", tuple[str, ...] | None) == ["a"]


@pytest.mark.parametrize("given", ["topic", ["topic"], {"topic": "topic"}])
def test_columns_that_are_called_as_their_fields(given):
    prep = Prep(input="a", output="b", fields={"extra": given})
    assert prep == Prep(input="a", output="b", fields={"extra": {"topic": "topic"}})
    own = [{"path": "a", "fields": {"extra": "rights"}}]
    both = Prep(input=own, output="b", fields={"extra": given})
    assert both.kinds == {"rights": "category", "topic": "category"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("meta.section", "'meta.section' is no name of a field: write "
         "fields.extra.topic=meta.section for"),
        (["topic", 5], "5 is no name of a field"),
        ("", "it names no column"),
        ("url", "url is built in: write fields.url=COLUMN"),
    ],
)  # fmt: skip
def test_columns_that_no_field_can_be_called_as(given, message):
    with pytest.raises(ValidationError, match=message):
        FieldMap(extra=given)
    with pytest.raises(ValidationError, match=message):
        Prep(input="a", output="b", fields={"extra": given})
