"""The table of countries: its decisions, and the country of a national domain."""

import pytest

from geo_nemo.metadata.geography import (
    CONTINENTS,
    continent_name,
    continent_of,
    countries,
    country_code,
    likely_country,
    national_country,
)

# The 18 countries of the localization paper and their continents there.
PAPER = {
    "Asia": "bd hk in lk my ph pk sg",
    "America": "ca jm us",
    "Europe": "gb ie",
    "Africa": "gh ke ng za tz",
}


def test_table_holds_every_iso_code_but_antarctica_and_kosovo():
    assert len(countries()) == 249  # 249 of ISO 3166-1, less aq, plus xk
    assert "aq" not in countries()
    assert {country.continent for country in countries().values()} == set(CONTINENTS)


def test_countries_per_continent_are_those_of_m49():
    counts = {name: 0 for name in CONTINENTS}
    for country in countries().values():
        counts[country.continent] += 1
    assert counts == {"Africa": 60, "America": 57, "Asia": 51, "Europe": 52, "Oceania": 29}


@pytest.mark.parametrize("continent", PAPER)
def test_paper_countries_have_the_papers_continent(continent):
    assert {continent_of(code) for code in PAPER[continent].split()} == {continent}


@pytest.mark.parametrize(
    ("code", "continent"),
    [("na", "Africa"), ("ru", "Europe"), ("tr", "Asia"), ("cy", "Asia"), ("xk", "Europe"),
     ("mx", "America"), ("br", "America"), ("tl", "Asia"), ("eg", "Africa")],
)  # fmt: skip
def test_decided_continents(code, continent):
    assert continent_of(code) == continent


def test_countries_on_two_continents_accept_both():
    assert countries()["ru"].accepted == {"Europe", "Asia"}
    assert countries()["gb"].accepted == {"Europe"}


@pytest.mark.parametrize(
    ("value", "code"),
    [("GB", "gb"), (" us ", "us"), ("uk", "gb"), ("UK", "gb"), ("el", "gr"), ("NA", "na"),
     ("aq", None), ("zz", None), ("", None), ("eu", None), ("Kenya", "ke"),
     ("NGA", "ng"), ("United States", "us"), ("the United States of America", "us"), ("U.S.", "us"),
     ("Côte d’Ivoire", "ci"), ("Cote d'Ivoire", "ci"), ("Ivory Coast", "ci"), ("TÜRKİYE", "tr"),
     ("Turkey", "tr"), ("England", "gb"), ("Republic of Korea", "kr"), ("Korea", None),
     ("St. Lucia", "lc"), ("Bosnia & Herzegovina", "ba"), ("Congo, The Democratic Republic of the",
     "cd"), ("Congo", "cg"), ("XKX", "xk"), ("not a country", None), ("Niger", "ne")],
)  # fmt: skip
def test_country_code(value, code):
    assert country_code(value) == code


@pytest.mark.parametrize(
    ("value", "name"),
    [("Africa", "Africa"), ("europe", "Europe"), ("North America", "America"),
     ("south  america", "America"), ("Australia and Oceania", "Oceania"), ("Antarctica", None),
     ("", None)],
)  # fmt: skip
def test_continent_name(value, name):
    assert continent_name(value) == name


@pytest.mark.parametrize(
    ("host", "code"),
    [("www.bbc.co.uk", "gb"), ("nation.africa", None), ("dawn.com", None), ("openai.io", None),
     ("twitch.tv", None), ("news.co", None), ("thestar.com.my", "my"), ("irishtimes.ie", "ie"),
     ("192.168.0.1", None), ("[::1]", None), ("www.cia.gov", None), ("xn--e1afmkfd.xn--p1ai", "ru"),
     ("europa.eu", None), ("a.xk", None), ("localhost", None), ("uk", "gb"), ("", None)],
)  # fmt: skip
def test_national_country(host, code):
    assert national_country(host) == code


def test_united_states_bodies_are_only_likely():
    assert likely_country("www.cia.gov") == "us"
    assert likely_country("news.mit.edu") == "us"
    assert likely_country("health.gov.au") is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Gambia, The", "gm"), ("Bahamas, The", "bs"), ("Korea, Rep.", "kr"), ("🇳🇬", "ng"),
        ("Korea, Dem. People's Rep.", "kp"), ("Congo, Dem. Rep.", "cd"), ("Congo, Rep.", "cg"),
        ("Egypt, Arab Rep.", "eg"), ("Iran, Islamic Rep.", "ir"), ("Yemen, Rep.", "ye"),
        ("Ireland (Republic of)", "ie"), ("United States of America (the)", "us"),
        ("Bosnia-Herzegovina", "ba"), ("Dominican Rep.", "do"), ("Solomon Is.", "sb"),
        ("KSA", "sa"), ("PRC", "cn"), ("Lao PDR", "la"), ("ישראל", "il"), ("ไทย", "th"),
        ("Korea", None), ("Republic", None), ("Untied States", None), ("🇽🇽", None),
        ("of the", None),
    ],
)  # fmt: skip
def test_other_forms_of_a_name(name, code):
    assert country_code(name) == code


def test_no_other_form_of_a_name_is_another_country_s():
    wrong = [
        (name, country.code, country_code(name))
        for country in countries().values()
        for known in (country.name, *country.names)
        for name in (known, known.replace(" of ", ", "), known.upper(), f"{known} (the)")
        if country_code(name) not in (country.code, None)
    ]
    assert wrong == []
