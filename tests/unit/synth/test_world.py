"""The default world: the countries of the paper, hosts, and tables that can be decoded."""

import dataclasses

import pytest

from data_prep.synth.world import default_world
from geo_nemo.metadata.geography import continent_of, national_country
from tests.unit.synth.worlds import TINY

WORLD = default_world()


def test_the_countries_are_the_eighteen_of_the_paper():
    by_continent = {}
    for country, continent in zip(WORLD.countries, WORLD.continents, strict=True):
        by_continent.setdefault(continent, set()).add(country)
    assert by_continent == {
        "Africa": {"gh", "ke", "ng", "za", "tz"},
        "America": {"ca", "jm", "us"},
        "Asia": {"bd", "hk", "in", "lk", "my", "ph", "pk", "sg"},
        "Europe": {"gb", "ie"},
    }


def test_each_country_has_two_national_and_two_com_hosts_and_no_host_serves_two():
    assert len(set(WORLD.hosts)) == 72
    for number, country in enumerate(WORLD.countries):
        hosts = [
            h for h, home in zip(WORLD.hosts, WORLD.host_country, strict=True) if home == number
        ]
        endings = sorted(host.rsplit(".", 1)[1] for host in hosts)
        national = {"gb": "uk"}.get(country, country)
        assert endings == sorted(["com", "com", national, national])
        assert all(host.replace(".", "").isalpha() and host.islower() for host in hosts)


def test_places_agree_with_the_tables_that_data_preparation_uses():
    for country, continent in zip(WORLD.countries, WORLD.continents, strict=True):
        assert continent_of(country) == continent
    for host, number in zip(WORLD.hosts, WORLD.host_country, strict=True):
        expected = None if host.endswith(".com") else WORLD.countries[number]
        assert national_country(host) == expected


def test_outlets_of_a_country_differ_in_opening_and_in_signoff():
    for choice in WORLD.styles[:2]:
        assert choice.name in ("opening", "signoff")
        for country in range(18):
            own = [choice.own[host] for host in range(72) if WORLD.host_country[host] == country]
            assert len(set(own)) == 4


def test_a_value_belongs_to_one_kind_of_fact_and_countries_are_told_apart_by_most_kinds():
    values = [value for kind in WORLD.facts for value in kind.values]
    assert len(set(values)) == len(values)
    telling = [kind.name for kind in WORLD.facts if len(set(kind.own)) == 18]
    assert telling == [
        "leader", "governor", "capital", "currency", "holiday", "airline", "river", "bird"
    ]  # fmt: skip
    assert len(WORLD.facts) == 11


def test_every_template_of_a_fact_tells_its_value_once():
    for kind in WORLD.facts + WORLD.shared:
        assert all(template.count("{value}") == 1 for template in kind.templates)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host_country": (0, 1, 0, 2)}, "hosts of a country"),
        ({"continents": ("North", "South", "North")}, "countries of a continent"),
        ({"topics": (TINY.topics[0],) * 2}, "share a thing"),
        ({"shared": (dataclasses.replace(TINY.shared[0], own=(0, 1, 1)),)}, "differs by country"),
    ],
)
def test_a_world_whose_likelihood_would_be_wrong_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)


@pytest.mark.parametrize("title", ["no thing here", "{thing} they {say}"])
def test_a_title_must_tell_its_thing_and_not_the_house(title):
    topic = dataclasses.replace(TINY.topics[0], titles=(title,))
    with pytest.raises(ValueError, match="title"):
        dataclasses.replace(TINY, topics=(topic,))
