"""The cleaner: order of its steps, reasons, and a hash that is of the text as it left."""

import dataclasses

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.annotate import Annotator
from data_prep.clean import Cleaner
from data_prep.clean.rules import meaning
from data_prep.config import Annotate, Clean
from data_prep.config.kinds import FILTERS
from data_prep.document import Document
from data_prep.quarantine import REASONS, Rejected
from geo_nemo.config import UserError

ANNOTATOR = Annotator(Annotate())
GAP = "@ @ @ @ @ @ @ @ @ @"
FINE = "A sentence of five words. Another one is here! Is this the third?"


def document(text: str, **fields) -> Document:
    return ANNOTATOR.document({"url": "https://bbc.co.uk/x", "text": text} | fields, "s")


def cleaned(text: str, **settings) -> Document:
    return Cleaner(Clean(**settings)).clean(document(text))


def reason(text: str, **settings) -> str:
    with pytest.raises(Rejected) as verdict:
        cleaned(text, **settings)
    return verdict.value.reason


def test_by_default_nothing_changes_but_the_count_of_gaps():
    text = f"mail a@b.org {GAP} x\n\n{{}}"
    before = document(text)
    assert Cleaner(Clean()).clean(document(text)) == dataclasses.replace(before, gaps=1)


def test_what_is_masked_is_counted_in_title_and_text():
    found = Cleaner(Clean(pii=("email", "phone"))).clean(
        document(f"to a@b.org, c@d.org; [IP] {GAP} {GAP}\ncall 212-555-0123", title="e@f.org")
    )
    assert (found.emails, found.ips, found.phones, found.gaps) == (3, 0, 1, 2)


def test_a_text_that_changes_has_another_hash_and_id():
    before, after = document(f"one {GAP} three four"), cleaned(f"one {GAP} three four",
                                                               now_masks="cut")  # fmt: skip
    assert after.text == "three four"
    assert after.hash == xxhash.xxh3_128_digest(b"three four")
    assert after.id == after.hash.hex()
    kept = ("text", "hash", "id")
    same = dataclasses.replace(after, **{name: getattr(before, name) for name in kept})
    assert same == before


def test_a_record_s_own_id_stays():
    found = Cleaner(Clean(pii=("email",))).clean(document("to a@b.org", id="x7"))
    assert (found.id, found.text) == ("x7", "to [EMAIL]")


def test_personal_data_are_masked_in_the_title_too():
    text = "a@b.org, 8.8.8.8, +44 20 7946 0958"
    found = Cleaner(Clean(pii=("email", "ip", "phone"))).clean(document(text, title=text))
    assert found.text == found.title == "[EMAIL], [IP], [PHONE]"
    only = Cleaner(Clean(pii=("ip",))).clean(document(text))
    assert only.text == "a@b.org, [IP], +44 20 7946 0958"


def test_c4_changes_the_text_that_later_rules_see():
    text = f"{FINE}\n" + "menu\n" * 20
    rest = ("gopher_quality.word_count", "gopher_quality.stop_words")
    assert cleaned(text, rules=("c4", "gopher_repetition")).text == FINE
    assert reason(text, rules=("gopher_repetition", "c4")) == "gopher_repetition.duplicate_lines"
    assert cleaned(text, rules=("c4", "gopher_quality"), except_rules=rest).text == FINE


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("short", {"min_characters": 6}, "too_short"),
        ("longer", {"max_characters": 5}, "too_long"),
        (f"ab {GAP} cde", {"now_masks": "cut", "min_characters": 4}, "too_short"),
        (f"ab {GAP} cde", {"now_masks": "drop"}, "now_mask"),
        (GAP, {"now_masks": "cut"}, "empty_text"),
        ("few words", {"rules": ("gopher_quality",)}, "gopher_quality.word_count"),
        ("no end", {"rules": ("fineweb",)}, "fineweb.punctuated_lines"),
        ("no end", {"rules": ("c4",)}, "c4.terminal_punctuation"),
        (FINE + " {", {"rules": ("c4",), "except_rules": ("c4.terminal_punctuation",)},
         "c4.curly_bracket"),
    ],
)  # fmt: skip
def test_reason(text, settings, expected):
    assert reason(text, **settings) == expected


def test_length_is_that_of_the_text_as_cleaned():
    assert cleaned(f"abcde {GAP} f", now_masks="cut", max_characters=5).text == "abcde"


def test_an_unknown_rule_is_a_mistake():
    with pytest.raises(UserError, match=r"no rule 'c4\.cookies'"):
        Cleaner(Clean(except_rules=("c4.cookies",)))


SETTINGS = st.builds(
    Clean,
    rules=st.lists(st.sampled_from(list(FILTERS.known)), unique=True).map(tuple),
    pii=st.lists(st.sampled_from(["email", "ip", "phone"]), unique=True).map(tuple),
    now_masks=st.sampled_from(["keep", "cut", "drop"]),
    except_rules=st.just(()) | st.just(("gopher_quality.word_count", "c4.sentences")),
)
PIECES = st.sampled_from(
    ["the man and", FINE, GAP, "\n", "\n\n", "a@b.org", "8.8.8.8", "#", "...", "•", "12", "{",
     "[1]", "x" * 40, "\u3000", "é", "@"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(config=SETTINGS, pieces=st.lists(PIECES | st.text(max_size=10), min_size=1, max_size=20))
def test_any_text_is_cleaned_or_set_aside(config, pieces):
    try:
        found = Cleaner(config).clean(document(" ".join(pieces)))
    except Rejected as verdict:
        assert verdict.reason in REASONS or meaning(verdict.reason)
        return
    assert found.text.strip()
    assert found.hash == xxhash.xxh3_128_digest(found.text.encode())


def test_a_number_in_an_address_is_of_the_address():
    found = cleaned("To 4111111111111111@a.org now.", pii=("card", "email"))
    assert (found.text, found.emails, found.cards) == ("To [EMAIL] now.", 1, 0)


def test_an_account_s_number_is_no_phone_number_in_whatever_order_both_are_asked_for():
    for pii in (("phone", "iban"), ("iban", "phone")):
        found = cleaned(
            "Pay DE89 3704 0044 0532 0130 00, or SA03 8000 0000 6080 1016 7519.", pii=pii
        )
        assert (found.text, found.ibans, found.phones) == ("Pay [IBAN], or [IBAN].", 2, 0)
