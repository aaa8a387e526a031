"""Country and continent: which evidence decides, and when a record is set aside."""

import pytest

from data_prep.annotate.origin import OriginRules, countries_of, load_outlets
from data_prep.annotate.urls import host_facts
from data_prep.quarantine import Rejected
from geo_nemo.config import UserError

OUTLETS = {"bbc.com": "gb", "uk.news.com": "gb", "odd.co.ke": "tz"}


def origin(country, continent, host, listed=()):
    found = OriginRules(OUTLETS, listed).origin(country, continent, host_facts(host))
    return found.country, found.continent, found.evidence


@pytest.mark.parametrize(
    ("country", "continent", "host", "expected"),
    [
        ("GB", "Europe", "example.com", ("gb", "Europe", "field")),
        ("uk", None, "example.co.uk", ("gb", "Europe", "field")),
        ("us", "North America", "example.com", ("us", "America", "field")),
        (None, None, "www.bbc.com", ("gb", "Europe", "outlet")),
        (None, None, "a.b.uk.news.com", ("gb", "Europe", "outlet")),
        (None, None, "odd.co.ke", ("tz", "Africa", "outlet")),
        ("tz", None, "odd.co.ke", ("tz", "Africa", "field")),
        (None, "Africa", "nation.co.ke", ("ke", "Africa", "domain")),
        (None, None, "www.cia.gov", ("us", "America", "likely")),
        # The Factbook writes about other countries on a domain of the United States.
        ("dz", "Africa", "www.cia.gov", ("dz", "Africa", "field")),
        ("ke", None, "news.io", ("ke", "Africa", "field")),
        ("in", None, "192.168.0.1", ("in", "Asia", "field")),
        ("ru", "Asia", "example.com", ("ru", "Europe", "field")),
    ],
)
def test_country_by_field_then_outlet_then_domain(country, continent, host, expected):
    assert origin(country, continent, host) == expected


@pytest.mark.parametrize(
    ("country", "continent", "host", "reason", "detail"),
    [
        ("us", None, "bbc.co.uk", "country_disagrees", "field us, national domain gb"),
        ("us", None, "www.bbc.com", "country_disagrees", "field us, outlet table gb"),
        ("ke", None, "odd.co.ke", "country_disagrees", "field ke, outlet table tz"),
        ("zz", None, "a.com", "unknown_country", "'zz'"),
        (
            "Gallia",
            None,
            "a.com",
            "unknown_country",
            "'Gallia' is neither a code (fr, FRA) nor an English name",
        ),
        ("aq", None, "a.com", "unknown_country", "'aq'"),
        (None, None, "news.com", "no_country", "news.com"),
        (None, None, "startup.io", "no_country", "startup.io"),
        (None, None, "10.0.0.1", "no_country", "10.0.0.1"),
        ("gb", "Africa", "a.com", "continent_disagrees", "field Africa, country gb is in Europe"),
        ("gb", "Atlantis", "a.com", "unknown_continent", "'Atlantis'"),
    ],
)
def test_set_aside(country, continent, host, reason, detail):
    with pytest.raises(Rejected) as verdict:
        origin(country, continent, host)
    assert verdict.value.reason == reason
    assert detail in verdict.value.detail


def test_a_replaced_continent_is_told():
    rules = OriginRules({})
    assert rules.origin("tr", "Europe", host_facts("a.com")).continent_replaced
    assert not rules.origin("tr", "Asia", host_facts("a.com")).continent_replaced
    assert not rules.origin("tr", None, host_facts("a.com")).continent_replaced


def test_countries_that_are_not_listed_are_set_aside():
    assert origin("gb", None, "a.com", listed=("gb", "us"))[0] == "gb"
    with pytest.raises(Rejected) as verdict:
        origin("ke", None, "a.com", listed=("gb", "us"))
    assert verdict.value.reason == "country_not_listed"


def test_a_host_is_read_as_a_url_s_host_is(tmp_path):
    table = tmp_path / "outlets.csv"
    table.write_text("host,country\nBücher.example.com,de\nwww.A.com.,us\n[2001:DB8::1],ke\n")
    own = load_outlets(str(table)).items() - load_outlets(None).items()
    assert own == {
        ("xn--bcher-kva.example.com", "de"), ("www.a.com", "us"), ("[2001:db8::1]", "ke"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("country", "host", "confidence"),
    [
        ("gb", "www.bbc.com", 0.99),
        ("gb", "example.co.uk", 0.99),
        ("us", "www.cia.gov", 0.99),
        ("us", "example.com", 0.90),
        ("dz", "www.cia.gov", 0.90),
        (None, "bbc.com", 0.85),
        (None, "odd.co.ke", 0.85),
        (None, "nation.co.ke", 0.80),
        (None, "www.cia.gov", 0.50),
    ],
)
def test_confidence_is_that_of_the_evidence(country, host, confidence):
    found = OriginRules(OUTLETS).origin(country, None, host_facts(host))
    assert found.confidence == confidence


def test_countries_of_many_urls():
    urls = ["https://www.bbc.com/a?b#c", "bbc.co.uk/x", "https://u:p@nation.co.ke:8080/",
            "https://news.io/", "http://8.8.8.8/", "javascript:x", "", "https://", "http://cia.gov",
            "https://a\ud800.com/", "x" * 10_000]  # fmt: skip
    expected = ["gb", "gb", "ke", None, None, None, None, None, "us", None, None]
    assert OriginRules(OUTLETS).countries_of(urls) == expected
    assert countries_of(urls) == expected


def test_the_users_table_goes_before_the_default(tmp_path):
    table = tmp_path / "outlets.csv"
    table.write_text("\ufeffhost,country,note\nBBC.com,us,mine\n\nnew.example.com,KE\n")
    outlets = load_outlets(str(table))
    assert (outlets["bbc.com"], outlets["new.example.com"], outlets["ft.com"]) == ("us", "ke", "gb")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"bbc.com,gb\n", "the first line must be host,country"),
        (b"", "the first line must be host,country"),
        (b"host,country\na.com,gb\nb.com,zz\n", "line 3: 'b.com,zz'"),
        (b"host,country\nhttps://a.com/x,gb\n", "line 2"),
        (b"host,country\na.com\n", "line 2"),
        (b"host,country\nme:pw@a.com,gb\n", "line 2"),
        (b"host,country\nlocalhost,gb\n", "line 2"),
        (b"host,country\n\x00,gb\n", "line 2"),
        (b"host,country\na.com,gb\na.com,us\n", "line 3: a.com has another country further up"),
        (b"host,country\n\xff,gb\n", "is not UTF-8"),
    ],
)
def test_a_bad_table_is_a_user_error_that_names_the_line(tmp_path, content, message):
    table = tmp_path / "outlets.csv"
    table.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_outlets(str(table))
    with pytest.raises(UserError, match="cannot read outlets="):
        load_outlets(str(tmp_path / "none.csv"))
