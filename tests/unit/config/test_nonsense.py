"""Values that make no sense, in every setting of every section: each is refused by its key."""

import math

import pytest
from pydantic import ValidationError

from geo_nemo.common.errors import UserError
from geo_nemo.config.kinds import WRITTEN
from geo_nemo.config.mistakes import in_words, place_of
from geo_nemo.config.section import Section, kinds_of
from tests.unit.config.test_one_word import sections

NOT_FINITE = (math.inf, -math.inf, math.nan)
NONSENSE = (
    *NOT_FINITE, 0, -1, 2**64, 1e300, 1.5, True, "", "a b", None,
    [], [1], [None], ["", ""], [[1]], {}, {"a": 1}, {"a": None}, {"a": {"a": 1}}, {1: 1},
)  # fmt: skip
EVERY = [each for each in dict.fromkeys(sections()) if not each.__module__.startswith("tests.")]
NAMES = {name for section in EVERY for name in section.model_fields}


def mistakes(section: type[Section], name: str, value: object) -> list[dict]:
    """Of this setting alone; others may lack. An address is checked by a `UserError`."""
    try:
        section.model_validate({name: value}, context=WRITTEN)
    except ValidationError as error:
        return [m for m in error.errors(include_url=False) if m["loc"][:1] == (name,)]
    except UserError as error:
        assert name in str(error) and "\n" not in str(error)
    return []


@pytest.mark.parametrize("section", EVERY, ids=lambda section: section.__name__)
def test_nonsense_is_refused_by_a_key_that_can_be_typed(section):
    for name in section.model_fields:
        for value in NONSENSE:
            for mistake in mistakes(section, name, value):
                parts = place_of(section, mistake)
                assert parts[0] == name
                assert all(type(part) is int or part in NAMES | {"a"} for part in parts), parts
                assert "\n" not in in_words(mistake)


@pytest.mark.parametrize("section", EVERY, ids=lambda section: section.__name__)
def test_a_number_is_finite(section):
    for name, field in section.model_fields.items():
        if {int, float} & set(kinds_of(field.annotation)):
            for value in NOT_FINITE:
                assert mistakes(section, name, value), name


def test_all_commands_are_here():
    names = {section.__name__ for section in EVERY}
    assert len(EVERY) > 40
    assert {"Run", "Prep", "Synth", "Tune", "EvalConfig", "AtlasConfig", "ProbeConfig", "Slurm",
            "Template"} <= names  # fmt: skip
