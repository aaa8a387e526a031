"""Normal form of text: what is kept, what goes, and that it is its own normal form."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.annotate.text import normal_line, normal_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("\r\n one\r\ntwo\rthree \n", "one\ntwo\nthree"),
        ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a\nb\nc\nd\ne\nf"),
        ("a\x00b\x07c\x1bd\x7fe\x9ff", "abcdef"),
        ("tab\there", "tab\there"),
        ("a\ud800b \ud83d\ude00", "a\ufffdb 😀"),
        ("\ufeffsoft\u00adhyphen\ufffe", "softhyphen"),
        # Writing direction: an override shows `exe.txt`, and a reader is not shown what is there.
        ("a\u202etxt.exe\u202c b\u2066c\u2069\u200f\u200e\u061c", "atxt.exe bc"),
        ("مرحبا\u200f بالعالم", "مرحبا بالعالم"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian is written with this joiner
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("naïve “quotes” – 中文", "naïve “quotes” – 中文"),
        (" \n\t\u00a0\u3000", ""),
        ("\x00\u200e", ""),
        ("\u200b\u200d \u2060\n", ""),
    ],
)
def test_normal_form(value, expected):
    assert normal_text(value) == (expected, expected.encode())


def test_every_control_but_tab_and_line_feed_goes():
    directions = [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    line_ends = {0x0A, 0x0B, 0x0C, 0x0D, 0x85}
    controls = {*range(0x20), *range(0x7F, 0xA0)} - line_ends - {0x09}
    for code in [*directions, *controls, 0xAD, 0xFEFF, 0xFFFE, 0xFFFF, 0xFDD0]:
        assert normal_text(f"a{chr(code)}b")[0] == "ab", hex(code)
    for code in line_ends:
        assert normal_text(f"a{chr(code)}b")[0] == "a\nb", hex(code)


def test_a_line_has_single_spaces():
    assert normal_line(" A\r\n\ttitle\u2028 of\x00 two \n") == "A title of two"


@settings(max_examples=300, deadline=None)
@given(value=st.text(st.characters(codec=None), max_size=40))
def test_any_text_has_a_normal_form_that_is_its_own(value):
    text, utf8 = normal_text(value)
    assert text.encode() == utf8
    assert normal_text(text) == (text, utf8)
    controls = [c for c in text if unicodedata.category(c) == "Cc"]
    assert set(controls) <= {"\t", "\n"}
    assert not {unicodedata.bidirectional(c) for c in text} & {"LRE", "RLE", "LRO", "RLO", "PDF"}
