"""What a person sees of a row: every token once, in the right colour, escaped."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from geo_nemo.config import MetadataPolicy
from geo_nemo.data.audit.render import row_html, row_text, segments
from geo_nemo.data.rows import build_row
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.record import MetadataRecord
from tests.unit.data.fakes import WordTokenizer

RECORD = MetadataRecord("bbc.co.uk", "gb", "Europe")
COUNTRIES = ("gb", "us")


def row_of(body: str, title: str = "", length: int = 32, **policy):
    tokenizer = WordTokenizer()
    policy = MetadataPolicy(fields=("country",), **policy)
    composer = Composer(policy, tokenizer)
    title_ids = tokenizer.encode(f" {title}\n\n") if title else []
    composed = composer.compose(RECORD, title_ids, tokenizer.encode(f" {body}"))
    return build_row([composed], [0], length, 0, policy.mask_loss), tokenizer


def test_golden_runs_of_a_row():
    row, tokenizer = row_of("It rains.", "Big news")
    document, padding = segments(row, tokenizer, COUNTRIES)
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
    row, tokenizer = row_of("It rains.", mask_loss=False)
    document, _ = segments(row, tokenizer, COUNTRIES)
    looks = [run.look for run in document.runs]
    assert looks == ["masked", "meta trained", "label trained", "trained"]


def test_html_is_escaped_and_has_a_div_a_document_and_a_span_a_run():
    row, tokenizer = row_of("<script>alert('x')</script> & \"q\"")
    html = row_html(row, tokenizer, COUNTRIES)
    assert "<script" not in html
    assert html.count('<div class="doc">') == 2
    assert re.findall(r'<span class="([a-z ]+)">', html) == [
        *["where", "masked", "meta masked", "label masked", "trained", "where", "pad"]
    ]
    text = unescape(re.sub(r"<[^>]+>", "", html))
    assert " <script>alert('x')</script> & \"q\"</s>" in text


@given(st.text(st.sampled_from("ab[]\\/ red\n"), min_size=1, max_size=30))
def test_the_terminal_shows_the_text_as_it_is(body):
    row, tokenizer = row_of(body, length=64)
    shown = row_text(row, tokenizer, COUNTRIES).plain
    text = tokenizer.decode(tokenizer.encode(f" {body}")).replace("\n", "\u23ce\n")
    assert f"CONTENT:{text}</s>" in shown


def test_a_body_cannot_steer_the_terminal():
    row, tokenizer = row_of("x\x1b[31mred\x07")
    assert "\x1b" not in row_text(row, tokenizer, COUNTRIES).plain
    assert "x\u241b" in row_text(row, tokenizer, COUNTRIES).plain


def test_long_runs_are_shortened_on_the_terminal_only():
    row, tokenizer = row_of(" ".join(f"word{i}" for i in range(200)), length=256)
    assert len(row_text(row, tokenizer, COUNTRIES).plain) < 700
    assert "word100" not in row_text(row, tokenizer, COUNTRIES).plain
    assert "word100" in row_text(row, tokenizer, COUNTRIES, clip=False).plain
    assert "word100" in row_html(row, tokenizer, COUNTRIES)


def test_a_tokenizer_that_drops_the_first_space_still_shows_it():
    class Stripping(WordTokenizer):
        def decode(self, ids):
            return super().decode(ids).removeprefix(" ")

    row, tokenizer = row_of("It rains.")
    tokenizer.__class__ = Stripping
    document, _ = segments(row, tokenizer, COUNTRIES)
    assert document.runs[-1].text == " It rains.</s>"
