"""Annotators: licence, toxicity and others from outside, from records to store and card."""

import json

import pyarrow.parquet as pq
import pytest

from data_prep.annotate import Annotators
from data_prep.annotate.annotator import annotation_key
from data_prep.annotate.license import spdx
from data_prep.annotate.toxicity import Toxicity, words_of
from data_prep.config import Annotate, Prep
from data_prep.graph import run_prep
from data_prep.ingest import Ingest
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.store import TokenStore
from tests.unit.data_prep.annotate.test_annotator import annotate
from tests.unit.data_prep.worlds import record, write_jsonl


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://creativecommons.org/licenses/by-nc-sa/3.0/us/", "CC-BY-NC-SA-3.0-US"),
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.en", "CC-BY-SA-4.0"),
        ("//creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("cc by sa 4.0", "CC-BY-SA-4.0"),
        ("CC BY (https://creativecommons.org/licenses/by/4.0/)", "CC-BY-4.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivatives 4.0 International",
         "CC-BY-NC-ND-4.0"),
        # The end of a sentence is no part of a name, and the start of a name is no other licence.
        ("This is licensed under CC0.", "CC0"),
        ("CC0", "CC0"),
        ("It is CC BY SA.", "CC-BY-SA"),
        ("It is CC BY 4.0.", "CC-BY-4.0"),
        ("CC BY 4.0.1", "CC BY 4.0.1"),
        ("CC BY-NC-X", "CC BY-NC-X"),
        ("CC BY 4.0 or CC BY-SA 4.0", "CC BY 4.0 or CC BY-SA 4.0"),
        ("https://creativecommons.org/licenses/", "https://creativecommons.org/licenses/"),
        ("accby", "accby"),
        ("© The Citizen, all rights reserved", "© The Citizen, all rights reserved"),
        ("https://www.apache.org/licenses/LICENSE-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    ],
)  # fmt: skip
def test_a_licence_is_named_as_spdx_does_where_it_is_one_of_creative_commons(said, name):
    assert spdx(said) == name


@pytest.mark.parametrize(
    ("words", "text", "share"),
    [
        ("bad", "Bad, bad day at BAD-town", 3 / 6),
        ("bad\nbad day", "a bad day of bad luck", 3 / 6),
        ("bad day at", "a bad day of bad luck", 0),
        ("# bad\n\nSTRASSE", "Die Straße ist bad", 1 / 4),
        ("ass", "the class assessed an ass", 1 / 5),
        # Vowel signs are of their word: another word with the same letters is not meant.
        ("हिन्दी", "हिन्दी हन्दी", 1 / 2),
        ("e\u0301te\u0301", "un \u00e9t\u00e9", 1 / 2),
    ],
)
def test_toxicity_is_the_share_of_words_that_the_list_has(tmp_path, words, text, share):
    (tmp_path / "words.txt").write_text(words, encoding="utf-8-sig")
    document = annotate(title="", text=text)
    found = Toxicity(words=str(tmp_path / "words.txt"))(document, {})
    assert found == {"toxicity": round(share, 4)}


def test_a_list_is_for_its_language_and_a_record_s_own_value_is_kept(tmp_path):
    (tmp_path / "en.txt").write_text("bad")
    made = Toxicity(words={"en": str(tmp_path / "en.txt")})
    english, swahili = (annotate(title="", text="bad", language=code) for code in ("en", "sw"))
    assert made(english, {}) == {"toxicity": 1.0}
    assert made(swahili, {}) == {} == made(english, {"toxicity": 0.1})
    everywhere = Toxicity(words=str(tmp_path / "en.txt"))
    assert everywhere(swahili, {}) == {"toxicity": 1.0}
    assert everywhere(annotate(text="坏", language="zh"), {}) == {}
    assert everywhere(annotate(title="", text="- -"), {}) == {} and words_of("- -") == []


def config(folder, rows, *annotators, **changes):
    options = changes.pop("options", {})
    return Prep(
        input=({"path": str(write_jsonl(folder / "in.jsonl", rows)), **changes},),
        output=str(folder / "out"),
        annotate={"annotators": annotators, "options": options},
        tokenizer={"vocab_size": 300, "shrink": True},
        execution={"workers": 1},
    )


def test_what_annotators_find_is_in_corpus_store_and_card(tmp_path):
    (tmp_path / "words.txt").write_text("harbour\n")
    rows = [record(i, text=f"Report {i} of the harbour.") for i in range(9)]
    rows[0] |= {"license": "http://creativecommons.org/licenses/by/4.0/"}
    rows[1] |= {"license": ["CC0", "Our terms"]}
    rows[2] |= {"toxicity": 0.5}
    words = {"toxicity": {"words": str(tmp_path / "words.txt")}}
    made = config(tmp_path, rows, "license", "toxicity", options=words)
    run_prep(made)
    parts = (tmp_path / "out" / "corpus").glob("*.parquet")
    found = {row["id"]: row for path in parts for row in pq.read_table(path).to_pylist()}
    licenses = [found[f"doc-{i}"]["license"] for i in range(3)]
    assert licenses == [["CC-BY-4.0"], ["CC0", "Our terms"], None]
    # Title `Story 3` and five words, of which one is in the list.
    assert float(found["doc-3"]["toxicity"]) == round(1 / 7, 4)
    assert float(found["doc-2"]["toxicity"]) == 0.5
    store = TokenStore.open(tmp_path / "out" / "store")
    assert {"license", "toxicity"} <= set(store.manifest.fields)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["fields"]["license"]["documents"] == 2
    assert report["fields"]["toxicity"]["documents"] == 9
    card = (tmp_path / "out" / "card.md").read_text()
    assert "toxicity (words of a list), licences of single texts" in card.partition("Not looked")[0]
    # Another list decides other values, and reads anew; the same one does not.
    keys = [task.key for task in Ingest(made).tasks()]
    assert keys == [task.key for task in Ingest(made).tasks()]
    (tmp_path / "words.txt").write_text("report\n")
    assert keys != [task.key for task in Ingest(made).tasks()]


def test_a_licence_that_no_document_names_is_no_error(tmp_path):
    run_prep(config(tmp_path, [record(i) for i in range(9)], "license"))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["fields"]["license"]["documents"] == 0


def test_without_annotators_keys_are_those_of_before(tmp_path):
    made = config(tmp_path, [record(0)])
    assert "annotators" not in made.canonical("annotate") and made.sources is made.input
    assert Annotators(made.annotate).key() == ""


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "annotate.options.toxicity.words names no list: write "),
        ({"words": "no/such.txt"}, "words: cannot read no/such.txt: No such file or directory"),
        ({"words": {"en": 7}}, "annotate.options.toxicity.words=7 is no path of a file"),
        ({"words": "EMPTY"}, "EMPTY has no word: write one a line"),
        ({"words": "LATIN"}, "LATIN is not UTF-8: iconv "),
        ({"word": "a"}, "annotate.annotators: toxicity: TypeError: .* 'word'; mend that"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, options, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").write_text("# nothing\n")
    (tmp_path / "LATIN").write_bytes(b"\xe9t\xe9\n")
    with pytest.raises(UserError, match=line) as raised:
        annotation_key(Annotate(annotators=("toxicity",), options={"toxicity": options}))
    assert "\n" not in str(raised.value)


OUTSIDE = """
class A:
    fields = %s
    def __call__(self, document, said): return %s
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(fields, answer="{}"):
        name = f"annotator_{abs(hash((tmp_path, fields, answer)))}"
        (tmp_path / f"{name}.py").write_text(OUTSIDE % (fields, answer))
        return f"{name}:A"

    return write


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ("None", "has no `fields`: give its class a dict"),
        ("{'topic': 'colour'}", "topic is of type 'colour': take one of category"),
        ("{'country': 'category'}", "country is built in"),
        ("{7: 'category'}", "annotate.annotators: "),
        ("{'license': 'category'}", "two give the field license: take one of them out"),
    ],
)
def test_fields_that_cannot_be_are_one_line(tmp_path, outside, fields, line):
    made = config(tmp_path, [record(0)], "license", outside(fields))
    with pytest.raises(UserError, match=line):
        Ingest(made).tasks()


def test_a_field_of_another_type_in_the_input_is_refused(tmp_path):
    made = config(tmp_path, [record(0)], "toxicity", fields={"extra": {"toxicity": "tox"}})
    with pytest.raises(UserError, match=r"toxicity is of type number, and of the input it is cat"):
        Ingest(made).tasks()


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("{'a': 1, 'b': 2}", "gives b=2: it must be"),
        ("{'a': {}}", r"gives a=\{\}: it must be"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("None", "TypeError"),
        ("{'a': chr(0xd800)}", "UnicodeEncodeError"),
    ],
)
def test_an_annotator_that_fails_is_one_line_with_the_document(outside, answer, line):
    name = outside("{'a': 'number'}", answer)
    made = Annotators(Annotate(annotators=(name,)))
    with pytest.raises(RunError, match=f"the annotator {name}, at the document https://.*{line}"):
        made.of(annotate(), {})


def test_what_it_gives_goes_before_the_record_s_and_the_record_s_stays_else(outside):
    name = outside("{'a': 'number'}", "{'a': said['a'] + 1} if said['a'] > 1 else {}")
    made = Annotators(Annotate(annotators=(name,)))
    assert made.of(annotate(), {"extra.a": 2, "url": "u"}) == {"extra.a": 3, "url": "u"}
    assert made.of(annotate(), {"extra.a": 1}) == {"extra.a": 1}


def test_names_and_options_are_checked_as_they_are_written():
    with pytest.raises(ValueError, match=r"toxicty is not an annotator; .* did you mean toxicity"):
        Annotate(annotators=("toxicty",))
    with pytest.raises(ValueError, match="options of toxicity, which is not one of annotators"):
        Annotate(options={"toxicity": {"words": "a"}})
