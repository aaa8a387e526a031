"""Numbers of persons: masked where their checksum holds, left where it does not."""

import random

import pytest

from data_prep.clean.masks import MASKS
from data_prep.clean.numbers import luhn, mask_cards, mask_ibans, verhoeff

# Published test numbers; none is anybody's.
GOOD = {
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "6011000990139424"],
    "iban": [
        "GB29 NWBK 6016 1331 9268 19", "DE89370400440532013000", "FR1420041010050500013M02606",
    ],
    "national_id": [
        "8001015009087", "2341 2341 2346", "11010519491231002X", "529.982.247-25", "12345678Z",
        "X1234567L", "S1234567D", "A123456(3)", "046-454-286", "RSSMRA85T10A562S",
        "RSSMRA85T10A5S2E",
    ],
}  # fmt: skip
MARK = {"card": "[CARD]", "iban": "[IBAN]", "national_id": "[ID]"}


@pytest.mark.parametrize(("kind", "number"), [(k, n) for k, all_ in GOOD.items() for n in all_])
def test_a_number_with_its_checksum_is_masked_and_with_another_digit_is_not(kind, number):
    mask = MASKS[kind]
    assert mask(f"pay to {number}, please") == f"pay to {MARK[kind]}, please"
    place = next(i for i in reversed(range(len(number) - 1)) if number[i].isdigit())
    wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
    assert mask(f"pay to {wrong}, please") == f"pay to {wrong}, please"


@pytest.mark.parametrize(
    "text",
    [
        "the budget of 4,111,111,111,111,111 shillings", "on 2024-05-31 at 10:00", "4111.11",
        "1234567890123456", "ISBN 978-3-16-148410-0", "0000 0000 0000 0000", "GB29 and DE89 roads",
        "call 0712 345 678", "pi is 3.14159265358979323846",
    ],
)  # fmt: skip
def test_other_numbers_stay(text):
    for kind in MARK:
        assert MASKS[kind](text) == text


def test_what_stands_behind_an_iban_stays():
    assert MASKS["iban"]("GB29 NWBK 6016 1331 9268 19 OR CASH") == "[IBAN] OR CASH"


def test_checksums_against_oracles():
    draw = random.Random(2)
    for _ in range(200):
        digits = [draw.randrange(10) for _ in range(15)]
        doubled = [d * 2 if i % 2 == 0 else d for i, d in enumerate(reversed(digits))]
        check = -sum(d // 10 + d % 10 for d in doubled) % 10
        number = "".join(map(str, digits))
        assert [d for d in range(10) if luhn(f"{number}{d}")] == [check]
        # Verhoeff's check is one of ten, and finds each wrong digit and swap of neighbours.
        (own,) = [d for d in range(10) if verhoeff(f"{number}{d}")]
        whole = f"{number}{own}"
        at = draw.randrange(15)
        assert not verhoeff(whole[:at] + str((int(whole[at]) + 3) % 10) + whole[at + 1 :])
        if whole[at] != whole[at + 1]:
            assert not verhoeff(whole[:at] + whole[at + 1] + whole[at] + whole[at + 2 :])


def test_digits_of_other_scripts_end_no_run():
    text = "ABCDEF\u0663\u0663A\u0663\u0663B\u0663\u0663\u0663C"
    assert MASKS["national_id"](text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4111 1111 1111 1111 12/26", "[CARD] 12/26"), ("4111111111111111 123", "[CARD] 123"),
        ("4111\u00a01111\u00a01111\u00a01111", "[CARD]"), ("2223003122003222", "[CARD]"),
        ("30569309025904", "[CARD]"), ("4111 1111 1111 1112 12/26", "4111 1111 1111 1112 12/26"),
    ],
)  # fmt: skip
def test_a_card_is_known_with_what_stands_behind_it(text, masked):
    assert mask_cards(text) == masked


def test_numbers_one_behind_the_other_are_all_masked():
    assert mask_cards("4111 1111 1111 1111 5500 0000 0000 0004") == "[CARD] [CARD]"
    ibans = "GB29 NWBK 6016 1331 9268 19 DE89 3704 0044 0532 0130 00 NOW"
    assert mask_ibans(ibans) == "[IBAN] [IBAN] NOW"


@pytest.mark.parametrize("length", [13, 15, 17, 18, 19])
def test_numbers_of_mastercard_s_newer_first_digits_have_its_length(length):
    for number in range(100):
        text = f"25{number:0{length - 2}}"
        assert mask_cards(text) == text
    for first, is_card in (("2220", False), ("2221", True), ("2720", True), ("2721", False)):
        number = next(n for last in range(10) if luhn(n := f"{first}12345678901{last}"))
        assert (mask_cards(number) == "[CARD]") == is_card


@pytest.mark.parametrize("table", ["41 11 11 11 11 11 11 11", "4111 1111 1111 11 11"])
def test_digits_in_pairs_are_a_table(table):
    assert mask_cards(table) == table


# Examples of the registry of ISO 13616.
@pytest.mark.parametrize(
    "number",
    [
        "KW81CBKU0000000000001234560101", "QA58DOHB00001234567890ABCDEFG",
        "CZ65 0800 0000 1920 0014 5399", "RO49 AAAA 1B31 0075 9384 0000", "SI56263300012039086",
        "GB82-WEST-1234-5698-7654-32", "MU17BOMM0101101030300200000MUR",
        "IS140159260076545510730339", "HN88CABF00000000000250005469",
    ],
)  # fmt: skip
def test_an_iban_of_any_country_is_masked(number):
    assert mask_ibans(f"Pay {number} now") == "Pay [IBAN] now"
