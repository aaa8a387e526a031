"""Norway, whose code YAML reads as false: in every setting that holds codes."""

import pytest
import yaml

from data_prep.config import Prep, Source
from geo_nemo.config import Sampling, Select
from geo_nemo.config.section import spelled

SETTINGS = [
    (Select, "{countries: [no, se]}", lambda c: c.countries == ("no", "se")),
    (Select, "{exclude_countries: [no]}", lambda c: c.exclude_countries == ("no",)),
    (Select, "{values: {country: [no]}}", lambda c: c.values == {"country": ("no",)}),
    (Sampling, "{by: country, weights: {no: 2, se: 1}}", lambda c: c.weights["no"] == 2),
    (Source, "{path: a, set: {country: no, language: no, rights: cc}}",
     lambda c: c.set == {"country": "no", "language": "no", "rights": "cc"}),
    (Prep, "{input: a, output: b, annotate: {countries: [no], languages: [no, en]}}",
     lambda c: (c.annotate.countries, c.annotate.languages) == (("no",), ("no", "en"))),
    (Prep, "{input: a, output: b, balance: {keep: {no: 0.5}, cap: {no: 3, se: 4}}}",
     lambda c: (c.balance.keep, c.balance.cap) == ({"no": 0.5}, {"no": 3, "se": 4})),
]  # fmt: skip


@pytest.mark.parametrize("section, text, holds", SETTINGS, ids=[text for _, text, _ in SETTINGS])
def test_a_bare_no_is_norway(section, text, holds):
    assert holds(section.model_validate(yaml.safe_load(text)))


def test_both_spellings_of_one_key_are_refused():
    with pytest.raises(ValueError, match="names no twice"):
        spelled({False: 1, "no": 2})
    assert spelled({"se": 1}) == {"se": 1} and spelled("se") == "se" and spelled(False) == "no"
