"""Masks of personal data: what goes, and what only looks like it and stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.clean.masks import (
    MASKS,
    NOW_MASK,
    longest_piece,
    mask_emails,
    mask_ips,
    mask_phones,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to j.doe+x@mail.example.co.uk.", "Write to [EMAIL]."),
        ("<mailto:a_b@c-d.org>", "<mailto:[EMAIL]>"),
        ("a@b.io,c@d.com", "[EMAIL],[EMAIL]"),
        ("josé@exämple.de", "[EMAIL]"),
    ],
)
def test_an_email_address_is_masked(text, expected):
    assert mask_emails(text) == expected


@pytest.mark.parametrize(
    "text",
    ["@handle said", "a @ b", "user@localhost", "logo@2x.png", "x@", "@ @ @ @ @ @ @ @ @ @", "a@b.c",
     "cost 5@3.50"],
)  # fmt: skip
def test_what_is_no_email_address_stays(text):
    assert mask_emails(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 8.8.8.8, twice", "from [IP], twice"),
        ("at 93.184.215.14:8080.", "at [IP]:8080."),
        ("93.184.215.0/24", "[IP]/24"),
        ("2001:4860:4860::8888 is", "[IP] is"),
        ("[2606:4700:4700:0:0:0:0:1111]", "[[IP]]"),
        ("on tv 8.8.4.4", "on tv [IP]"),
    ],
)
def test_a_public_address_is_masked(text, expected):
    assert mask_ips(text) == expected


@pytest.mark.parametrize(
    "text",
    ["Python 3.11.2", "1.2.3", "version 1.2.3.4", "v8.8.8.8", "Section 4.2.1.3 says", "1.2.3.4.5",
     "999.8.8.8", "192.168.0.1", "127.0.0.1", "10.0.0.8", "08.08.08.08", "at 12:30:45", "2:1", "::",
     "std::cafe", "a::b", "00:1A:2B:3C:4D:5E", "2001:db8::1", "fe80::1", "Psalm 23:1:2", "x8.8.8.8",
     "224.0.0.1"],
)  # fmt: skip
def test_what_is_no_public_address_stays(text):
    assert mask_ips(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ring +44 20 7946 0958 now", "Ring [PHONE] now"),
        ("+254712345678.", "[PHONE]."),
        ("+1 (212) 555-0123", "[PHONE]"),
        ("+49.30.901820", "[PHONE]"),
        ("(+299) 384100", "[PHONE]"),
        ("(+44 20 7946 0958)", "([PHONE])"),
        ("+44 20 7946 0958 24 hours", "[PHONE] hours"),
        ("(212) 555-0123", "[PHONE]"),
        ("212-555-0123, 212.555.0199", "[PHONE], [PHONE]"),
        ("1-800-555-0199", "[PHONE]"),
        ("020 7946 0958", "[PHONE]"),
        ("01632-960983", "[PHONE]"),
        ("0712 345 678", "[PHONE]"),
        ("Call us on 555 1234.", "Call us on [PHONE]."),
        ("tel: 022-1234567", "tel: [PHONE]"),
        ("WhatsApp 98765 43210", "WhatsApp [PHONE]"),
    ],
)
def test_a_phone_number_is_masked(text, expected):
    assert mask_phones(text) == expected


@pytest.mark.parametrize(
    "text",
    ["in 2019-2020", "on 2024-05-31", "31-05-2024", "1,234,567 people", "12 345 678 people",
     "3.14159265", "+1.25 2.50 3.75 4.00", "+2.5 percent", "call 2019-2020 a success",
     "calling 20 000 people", "ISBN 978-3-16-148410-0", "won 21-14, 21-19", "$1 234 567.89",
     "0.12345 6789 0123", "call 911", "12:30 to 14:45", "phone sales of 2023 and 2024",
     "192.168.100.100", "453 222 1999", "+5"],
)  # fmt: skip
def test_what_is_no_phone_number_stays(text):
    assert mask_phones(text) == text


GAP = "@ @ @ @ @ @ @ @ @ @"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a b {GAP} c d e {GAP} f", "c d e"),
        (f"same {GAP} size", "same"),
        (GAP, ""),
        (f"{GAP} {GAP} end", "end"),
        (GAP.replace(" ", "\n") + " end", "end"),
        ("nine @ @ @ @ @ @ @ @ @ only", "nine @ @ @ @ @ @ @ @ @ only"),
        (f"x{GAP}", f"x{GAP}"),
    ],
)
def test_text_is_cut_at_now_s_gaps(text, expected):
    assert longest_piece(text) == expected


def test_a_gap_is_ten_signs_or_more():
    assert NOW_MASK.fullmatch(GAP)
    assert NOW_MASK.fullmatch(f"{GAP} {GAP}")
    assert not NOW_MASK.search(GAP[2:])


TEXT = st.text(st.sampled_from("09 1.-+()@:ab\nf/"), max_size=60)


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_a_masked_text_has_nothing_left_to_mask(text):
    for mask in MASKS.values():
        once = mask(text)
        assert mask(once) == once


@pytest.mark.parametrize("text", ["Rs 10 000 000 000 a year", "1 000 000 000 000 rand"])
def test_thousands_are_no_phone_number(text):
    assert mask_phones(text) == text
