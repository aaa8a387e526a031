"""One line to one document: normal form of its text, and the reason where it cannot be used."""

import json

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.annotate.origin import OriginRules
from data_prep.quarantine import REASONS, Rejected
from data_prep.records import parse_record

RULES = OriginRules({})
GOOD = {"id": "a1", "url": "https://bbc.co.uk/x", "country": "gb", "title": "T", "text": "Body"}


def line(**changes) -> bytes:
    record = {k: v for k, v in (GOOD | changes).items() if v is not ...}
    return json.dumps(record).encode()


def reason(data: bytes) -> str:
    with pytest.raises(Rejected) as verdict:
        parse_record(data, RULES)
    return verdict.value.reason


def test_a_good_record():
    document = parse_record(line(date="2020-01-02", extra=[1]), RULES)
    digest = xxhash.xxh3_128_hexdigest(b"Body")
    assert json.loads(document.to_json()) == {
        "id": "a1",
        "url": "https://bbc.co.uk/x",
        "host": "bbc.co.uk",
        "domain": "bbc.co.uk",
        "path": "/x",
        "country": "gb",
        "continent": "Europe",
        "title": "T",
        "text": "Body",
        "hash": digest,
        "date": "2020-01-02",
    }


def test_text_and_title_are_normalised():
    document = parse_record(line(title=" A\n\ttitle ", text="\r\n one\r\ntwo\rthree \n"), RULES)
    assert (document.title, document.text) == ("A title", "one\ntwo\nthree")


def test_same_text_has_the_same_digest_whatever_the_rest():
    a = parse_record(line(text="x\r\n"), RULES)
    b = parse_record(line(text="x", id="b", url="https://other.co.uk/y", title="Another"), RULES)
    c = parse_record(line(text="x y"), RULES)
    assert a.digest == b.digest != c.digest


def test_optional_fields_may_be_absent_null_or_blank():
    data = line(id=..., title=None, country="", continent=" ", date=...)
    document = parse_record(data, RULES)
    assert document.title == ""
    assert document.id == document.digest.hex()
    assert document.origin.evidence == "domain"
    assert document.date is None


def test_a_number_as_id_is_taken():
    assert parse_record(line(id=7), RULES).id == "7"
    assert parse_record(line(id=10**30).replace(b"Body", b"\\ud800"), RULES).id == str(10**30)


def test_the_escape_of_a_lone_surrogate_becomes_a_replacement_character():
    data = line().replace(b"Body", b"a\\ud800b \\ud83d\\ude00")
    assert parse_record(data, RULES).text == "a\ufffdb 😀"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{", "broken_json"),
        (b"not json", "broken_json"),
        (line()[:-2], "broken_json"),
        (b'{"text": NaN}', "broken_json"),
        (b'{"text": "\\ud800", "x": NaN}', "broken_json"),
        (b"[" * 100_000, "broken_json"),
        (b'{"text": "\\u00', "broken_json"),
        (line().replace(b"Body", b"B\xffdy"), "invalid_utf8"),
        (b"\xff\xfe{", "invalid_utf8"),
        (b"[]", "wrong_type"),
        (b"3", "wrong_type"),
        (b"null", "wrong_type"),
        (line(text=5), "wrong_type"),
        (line(title=["a"]), "wrong_type"),
        (line(url={}), "wrong_type"),
        (line(country=1), "wrong_type"),
        (line(continent=True), "wrong_type"),
        (line(id=True), "wrong_type"),
        (line(date=2020), "wrong_type"),
        (line(text=...), "missing_text"),
        (line(text=None), "missing_text"),
        (line(text=" \n\t\u00a0"), "empty_text"),
        (line(url=...), "missing_url"),
        (line(url=" "), "missing_url"),
        (line(url="/x"), "invalid_url"),
        (line(url="javascript:alert(1)"), "refused_url_scheme"),
        (line(country="zz"), "unknown_country"),
        (line(country="us"), "country_disagrees"),
        (line(continent="Asia"), "continent_disagrees"),
    ],
)
def test_reason(data, expected):
    assert reason(data) == expected


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(
        ["https://bbc.co.uk/x", "//x.io", "gb", "us", "NA", "Europe", "http://[::1]/", "http://1.1"]
    ),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
FIELDS = ["id", "url", "country", "continent", "title", "text", "date"]


@settings(max_examples=300)
@given(record=st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_object_is_a_document_or_is_set_aside(record):
    try:
        document = parse_record(json.dumps(GOOD | record).encode(), RULES)
    except Rejected as verdict:
        assert verdict.reason in REASONS
    else:
        again = parse_record(document.to_json(), RULES)
        assert again.to_json() == document.to_json()


@settings(max_examples=300)
@given(data=st.binary(max_size=40), at=st.integers(0, 100), cut=st.integers(0, 20))
def test_any_bytes_are_a_document_or_are_set_aside(data, at, cut):
    whole = line()
    try:
        parse_record(whole[:at] + data + whole[at + cut :], RULES)
    except Rejected as verdict:
        assert verdict.reason in REASONS
