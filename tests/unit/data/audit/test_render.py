"""What a person sees of a sequence: every token once, in the right colour, escaped."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from geo_nemo.config import MetadataPolicy
from geo_nemo.data.audit.render import segments, sequence_html, sequence_text
from geo_nemo.data.sequences import build_sequence
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from tests.unit.data.fakes import WordTokenizer

RECORD = MetadataRecord("bbc.co.uk", "gb", "Europe")
COUNTRIES = ("gb", "us")


def sequence_of(body: str, title: str = "", length: int = 32, **policy):
    tokenizer = WordTokenizer()
    policy = MetadataPolicy(fields=("country",), **policy)
    composer = Composer(policy, tokenizer)
    title_ids = tokenizer.encode(f" {title}\n\n") if title else []
    composed = composer.compose(RECORD, title_ids, tokenizer.encode(f" {body}"))
    return build_sequence([composed], [0], length, 0, policy.mask_loss), tokenizer


def test_golden_runs_of_a_sequence():
    sequence, tokenizer = sequence_of("It rains.", "Big news")
    document, padding = segments(sequence, tokenizer, COUNTRIES)
    assert (document.group, document.positions) == ("gb", 13)
    assert [(run.look, run.text) for run in document.runs] == [
        ("masked", "<s>"),
        ("meta masked", "COUNTRY: gb\u23ce\n\u23ce\n"),
        ("label masked", "TITLE:"),
        ("trained", " Big news\u23ce\n\u23ce\n"),
        ("label masked", "CONTENT:"),
        ("trained", " It rains.</s>"),
    ]
    assert [(run.look, run.text) for run in padding.runs] == [("pad", "<padding x 19>")]


def test_metadata_that_is_trained_looks_so():
    sequence, tokenizer = sequence_of("It rains.", mask_loss=False)
    document, _ = segments(sequence, tokenizer, COUNTRIES)
    looks = [run.look for run in document.runs]
    assert looks == ["masked", "meta trained", "label trained", "trained"]


def test_html_is_escaped_and_has_a_div_a_document_and_a_span_a_run():
    sequence, tokenizer = sequence_of("<script>alert('x')</script> & \"q\"")
    html = sequence_html(sequence, tokenizer, COUNTRIES)
    assert "<script" not in html
    assert html.count('<div class="doc">') == 2
    assert re.findall(r'<span class="([a-z ]+)">', html) == [
        *["where", "masked", "meta masked", "label masked", "trained", "where", "pad"]
    ]
    text = unescape(re.sub(r"<[^>]+>", "", html))
    assert " <script>alert('x')</script> & \"q\"</s>" in text


@given(st.text(st.sampled_from("ab[]\\/ red\n"), min_size=1, max_size=30))
def test_the_terminal_shows_the_text_as_it_is(body):
    sequence, tokenizer = sequence_of(body, length=64)
    shown = sequence_text(sequence, tokenizer, COUNTRIES).plain
    text = tokenizer.decode(tokenizer.encode(f" {body}")).replace("\n", "\u23ce\n")
    assert f"CONTENT:{text}</s>" in shown


def test_a_body_cannot_steer_the_terminal():
    sequence, tokenizer = sequence_of("x\x1b[31mred\x07")
    assert "\x1b" not in sequence_text(sequence, tokenizer, COUNTRIES).plain
    assert "x\u241b" in sequence_text(sequence, tokenizer, COUNTRIES).plain


def test_long_runs_are_shortened_on_the_terminal_only():
    sequence, tokenizer = sequence_of(" ".join(f"word{i}" for i in range(200)), length=256)
    assert len(sequence_text(sequence, tokenizer, COUNTRIES).plain) < 700
    assert "word100" not in sequence_text(sequence, tokenizer, COUNTRIES).plain
    assert "word100" in sequence_text(sequence, tokenizer, COUNTRIES, clip=False).plain
    assert "word100" in sequence_html(sequence, tokenizer, COUNTRIES)


def test_a_tokenizer_that_drops_the_first_space_still_shows_it():
    class Stripping(WordTokenizer):
        def decode(self, ids):
            return super().decode(ids).removeprefix(" ")

    sequence, tokenizer = sequence_of("It rains.")
    tokenizer.__class__ = Stripping
    document, _ = segments(sequence, tokenizer, COUNTRIES)
    assert document.runs[-1].text == " It rains.</s>"
