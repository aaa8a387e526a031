"""The registry: what a declaration says, and that nothing else is needed."""

import pytest

from eval.cells import policy_key
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.fields import (
    ENTRY_POINTS,
    FIELDS,
    Field,
    Form,
    _hash_of,
    _installed,
    brought_fields,
    field_words,
    find_field,
    is_declared,
    key_columns,
    lines_of,
)
from geo_nemo.metadata.record import KEY_OF, MetadataRecord

RECORD = MetadataRecord("bbc.co.uk", "gb", "Europe", "/a", "http", extra={"theme": "sport"})


@pytest.mark.parametrize("name", FIELDS)
def test_a_declared_field_depends_on_columns_that_stores_know(name):
    field = FIELDS[name]
    assert field.name == name and field.forms and "\n" not in field.label
    for form in field.forms.values():
        assert form.columns and form.words


@pytest.mark.parametrize("name", FIELDS)
def test_a_document_without_any_column_has_no_line(name):
    for form in FIELDS[name].forms.values():
        nothing = MetadataRecord()
        given = {setting: getattr(MetadataPolicy(), setting) for setting in form.settings}
        assert not form.value(*map(nothing.column, form.columns), **given)


@pytest.mark.parametrize(
    ("policy", "values", "keys", "words"),
    [
        (MetadataPolicy(fields=("url",)), ["bbc.co.uk"], ("host",), "host"),
        (MetadataPolicy(fields=("url",), url_form="path"), ["bbc.co.uk/a"], None, "host and path"),
        (
            MetadataPolicy(fields=("url", "country"), url_form="full"),
            ["http://bbc.co.uk/a", "gb"],
            None,
            "full URL and country",
        ),
        (MetadataPolicy(fields=("continent",)), ["Europe"], ("country",), "continent"),
        (
            MetadataPolicy(),
            ["bbc.co.uk", "gb", "Europe"],
            ("country", "host"),
            "host, country and continent",
        ),
        (MetadataPolicy(fields=("theme",)), ["sport"], ("theme",), "theme"),
        (MetadataPolicy(fields=()), [], (), ""),
    ],
)
def test_lines_of_a_policy(policy, values, keys, words):
    lines = lines_of(policy)
    assert [line.value(RECORD) for line in lines] == values
    assert key_columns(lines) == keys
    assert field_words(policy) == words


@pytest.mark.parametrize(
    ("field", "settings", "text"),
    [
        ("url", {}, "URL: bbc.co.uk"),
        ("host", {}, "HOST: bbc.co.uk"),
        ("year", {}, "YEAR: 2021"),
        ("date", {"forms": {"date": "year"}}, "DATE: 2021"),
        ("date", {"forms": {"date": "decade"}}, "DATE: 2020s"),
        ("date", {"forms": {"date": "month"}}, "DATE: 2021-03"),
        ("date", {}, "DATE: 2021-03-04"),
        ("language", {}, "LANGUAGE: en"),
        ("source", {}, "SOURCE: news"),
        ("quality", {}, "QUALITY: 69"),
        ("topic", {}, "TOPIC: sport"),
        ("licence", {}, "LICENCE: CC-BY"),
    ],
)
def test_what_a_built_in_field_says(field, settings, text):
    record = MetadataRecord(
        "bbc.co.uk", "gb", "Europe", year=2021, quality=69, source="news",
        extra={"date": "2021-03-04", "language": "en", "topic": "sport", "licence": "CC-BY"},
    )  # fmt: skip
    (line,) = lines_of(MetadataPolicy(fields=(field,), **settings))
    assert f"{line.label}: {line.value(record)}" == text


@pytest.mark.parametrize(
    ("quality", "band"), [(0, "low"), (39, "low"), (40, "fair"), (99, "fair"), (100, "top")]
)
def test_bands_of_quality_begin_where_the_policy_says(quality, band):
    bands = {"low": 0, "fair": 40, "top": 100}
    policy = MetadataPolicy(fields=("quality",), forms={"quality": "coarse"}, quality_bands=bands)
    assert lines_of(policy)[0].value(MetadataRecord(quality=quality)) == band
    assert lines_of(policy)[0].value(MetadataRecord()) is None


def test_bands_that_are_not_given_are_asked_for():
    with pytest.raises(UserError, match=r"quality as coarse needs metadata\.quality_bands"):
        lines_of(MetadataPolicy(fields=("quality",), forms={"quality": "coarse"}))


def test_a_form_that_there_is_not_names_those_that_there_are():
    with pytest.raises(UserError, match=r"metadata\.forms\.country=long: .* written as plain"):
        lines_of(MetadataPolicy(fields=("country",), forms={"country": "long"}))


def test_a_line_end_in_a_value_does_not_become_another_line():
    line = lines_of(MetadataPolicy(fields=("theme",)))[0]
    assert line.value(MetadataRecord(extra={"theme": "a\nCOUNTRY: us"})) == "a COUNTRY: us"


def test_a_column_of_the_users_own_is_a_field_without_a_declaration():
    assert not is_declared("theme") and find_field("theme").label == "THEME"
    line = lines_of(MetadataPolicy(fields=("theme",)))[0]
    assert line.value(MetadataRecord()) is None
    assert line.value(MetadataRecord(extra={"theme": 0})) == "0"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package whose entry point `tone` is what `content` makes of it."""

    def install(content: str):
        (tmp_path / "mood.py").write_text(content)
        info = tmp_path / "mood-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mood\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\ntone = mood:TONE\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(__import__("sys").modules, "mood", raising=False)
        _installed.cache_clear()
        _hash_of.cache_clear()

    yield install
    _installed.cache_clear()
    _hash_of.cache_clear()


def test_another_package_declares_a_field(package):
    package(
        "from geo_nemo.metadata.fields import Field, Form\n"
        "TONE = Field('tone', 'TONE', {'of_host': Form(('host',), lambda h: h[:3], 'tone')})\n"
    )
    line = lines_of(MetadataPolicy(fields=("tone",)))[0]
    assert (line.label, line.value(RECORD), line.form) == ("TONE", "bbc", "of_host")


def test_a_field_of_another_package_is_known_by_its_code_too(package, tmp_path):
    """A policy's hash knows its name alone, and the values that it gives are what is trained on."""
    policy = MetadataPolicy(fields=("country", "tone"))
    assert brought_fields(policy) == ""
    package("TONE = 1\n")
    first = brought_fields(policy)
    assert first.startswith("mood:TONE ")
    (tmp_path / "mood.py").write_text("TONE = 2\n")
    assert brought_fields(policy) == first  # as it was imported
    _hash_of.cache_clear()
    assert brought_fields(policy) not in ("", first)


def test_finished_parts_of_an_evaluation_are_known_by_a_field_s_code_too(package, tmp_path):
    policy = MetadataPolicy(fields=("country", "tone"))
    assert policy_key(policy) == {"policy": policy.hash()}
    keys = []
    for content in ("TONE = 1\n", "TONE = 2\n"):
        if keys:
            (tmp_path / "mood.py").write_text(content)
            _hash_of.cache_clear()
        else:
            package(content)
        keys.append(policy_key(policy))
    assert keys[0] != keys[1] and keys[0]["policy"] == keys[1]["policy"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("TONE = 1\n", "mood:TONE, which geo_nemo.metadata_fields names, is no Field tone"),
        ("raise RuntimeError('gone')\n", "the field tone of mood cannot be loaded: gone"),
        (
            "from geo_nemo.metadata.fields import Field\nTONE = Field('tone', 'TO\\nNE', {})\n",
            r"the field tone of mood:TONE has the label 'TO\\nNE': a label is one line",
        ),
    ],
)
def test_a_package_that_declares_no_field_is_named(package, content, words):
    package(content)
    with pytest.raises(UserError, match=words):
        find_field("tone")


def test_every_column_has_a_key_that_is_a_column():
    assert {key for key in KEY_OF.values() if key} <= KEY_OF.keys()
    assert all(KEY_OF[key] == key for key in KEY_OF.values() if key)


def test_a_value_is_computed_from_declared_columns_alone():
    seen = []
    field = Field("x", "X", {"plain": Form(("year", "host"), lambda *c: str(seen.append(c)), "x")})
    FIELDS["x"] = field
    try:
        lines_of(MetadataPolicy(fields=("x",)))[0].value(RECORD)
    finally:
        del FIELDS["x"]
    assert seen == [(0, "bbc.co.uk")]
