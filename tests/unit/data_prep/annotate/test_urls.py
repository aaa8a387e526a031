"""URLs: normal form, refusals, and what a host name tells."""

import pytest

from data_prep.annotate.urls import host_facts, parse_url
from data_prep.quarantine import Rejected

NORMAL = {
    "https://www.BBC.co.uk/news/": "https://www.bbc.co.uk/news/",
    "http://user:secret@example.com:8080/a/../b?x=1#top": "http://example.com:8080/b?x=1",
    "https://example.com:443": "https://example.com/",
    "https://a.com/x?utm_source=n&id=7&fbclid=q&UTM_Medium=m": "https://a.com/x?id=7",
    "https://a.com/x?utm_source=n": "https://a.com/x",
    "https://a.com/x?id=7&amp;utm_source=n&amp;p=2": "https://a.com/x?id=7&p=2",
    "https://www.bbc.co.uk/x?at_medium=RSS&at_campaign=K&ns_mchannel=s": "https://www.bbc.co.uk/x",
    "https://a.com/x?CMP=fb_gu&ito=1490&xtor=RSS-1&smid=tw&latest=1": "https://a.com/x?latest=1",
    "<![CDATA[https://a.com/x?id=7]]>": "https://a.com/x?id=7",
    "https://a.com/x?q=utm_source&b": "https://a.com/x?q=utm_source&b",
    "  bbc.co.uk/news ": "https://bbc.co.uk/news",
    "bbc.co.uk:8080/x": "https://bbc.co.uk:8080/x",
    "//cdn.example.org/x": "https://cdn.example.org/x",
    "https://例え.jp/ü": "https://xn--r8jz45g.jp/%C3%BC",
    "https://example.com./x": "https://example.com/x",
    "https://www.cia.gov/f/algeria/#geography": "https://www.cia.gov/f/algeria/",
    "http://0x7f.1/x": "http://127.0.0.1/x",
    "https://a.com/x\ny": "https://a.com/xy",
    "http://[2001:DB8:0:0::1]:80/x": "http://[2001:db8::1]/x",
    "https://a.com/r?u=https://me:pw@b.com/&x=1": "https://a.com/r?u=https://b.com/&x=1",
    "https://medium.com/@user/post": "https://medium.com/@user/post",
    "https://a.com/x?u=https://b.com:8080": "https://a.com/x?u=https://b.com:8080",
}


@pytest.mark.parametrize("text", NORMAL)
def test_normal_form(text):
    assert parse_url(text).href == NORMAL[text]


@pytest.mark.parametrize("text", NORMAL)
def test_normal_form_is_its_own_normal_form(text):
    assert parse_url(NORMAL[text]).href == NORMAL[text]


def test_host_and_path():
    url = parse_url("https://www.bbc.co.uk/news?a=1&gclid=2#x")
    assert (url.host.name, url.path) == ("www.bbc.co.uk", "/news?a=1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("javascript:alert(1)", "refused_url_scheme"),
        ("data:text/html,x", "refused_url_scheme"),
        ("file:///etc/passwd", "refused_url_scheme"),
        ("mailto:a@b.com", "refused_url_scheme"),
        ("ftp://a.com/x", "refused_url_scheme"),
        ("localhost:80/x", "refused_url_scheme"),
        ("JavaScript:alert(1)", "refused_url_scheme"),
        (" data:text/html,x", "refused_url_scheme"),
        ("https://a.com/" + "x" * 4096, "invalid_url"),
        ("/news/1", "invalid_url"),
        ("http://", "invalid_url"),
        ("https:///", "invalid_url"),
        ("http://a b.com/", "invalid_url"),
        ("http://localhost/x", "invalid_url"),
        ("http://intranet", "invalid_url"),
        ("no url at all", "invalid_url"),
        ("http://[::1", "invalid_url"),
        ("http://1.2.3.4.5/", "invalid_url"),
    ],
)
def test_refused(text, reason):
    with pytest.raises(Rejected) as verdict:
        parse_url(text)
    assert verdict.value.reason == reason


@pytest.mark.parametrize(
    ("host", "domain", "country", "likely"),
    [
        ("www.bbc.co.uk", "bbc.co.uk", "gb", None),
        ("news.example.com", "example.com", None, None),
        ("192.168.0.1", "192.168.0.1", None, None),
        ("[2001:db8::1]", "[2001:db8::1]", None, None),
        ("www.cia.gov", "cia.gov", None, "us"),
        ("foo.blogspot.com", "foo.blogspot.com", None, None),
        # Of whoever reads: one blog has a domain in each country.
        ("x.blogspot.co.uk", "x.blogspot.co.uk", None, None),
        ("www.x.blogspot.de", "x.blogspot.de", None, None),
        ("blogspot.fr", "blogspot.fr", None, None),
        ("myblogspot.fr", "myblogspot.fr", "fr", None),
        ("x.co.nl", "x.co.nl", None, None),  # lent by a company, not by the Dutch registry
        ("www.gov.uk", "www.gov.uk", "gb", None),
        ("example.io", "example.io", None, None),
        ("news.xn--p1ai", "news.xn--p1ai", "ru", None),
        ("some.nosuchtld", "some.nosuchtld", None, None),
    ],
)
def test_host_facts(host, domain, country, likely):
    facts = host_facts(host)
    assert (facts.domain, facts.country, facts.likely) == (domain, country, likely)


def test_public_suffixes_are_those_that_the_package_itself_makes():
    from publicsuffixlist import PublicSuffixList

    from data_prep.annotate.urls import _suffix_lists

    all_, registries = _suffix_lists()
    theirs = PublicSuffixList(accept_unknown=False)
    assert all_._publicsuffix == theirs._publicsuffix
    assert all_._maxlabel == theirs._maxlabel
    theirs = PublicSuffixList(accept_unknown=False, only_icann=True)
    assert registries._publicsuffix == theirs._publicsuffix
    assert registries.publicsuffix("x.blogspot.co.uk") == "co.uk"
    assert all_.privatesuffix("www.x.xn--p1ai") == "x.xn--p1ai"
