"""Numbers of persons that prove themselves by a checksum: payment cards, accounts, national IDs.

| kind | what is masked | proof |
|---|---|---|
| card | 13 to 19 digits with a network's first ones, plain or in groups | Luhn (ISO/IEC 7812-1) |
| iban | a country's two letters and its length | 97 (ISO 13616) |
| national_id | South Africa, 13 digits with a day of birth | Luhn |
| | India's Aadhaar, 4-4-4 | Verhoeff |
| | China, 17 digits and one or X, with a day of birth | ISO 7064, 11-2 |
| | Brazil's CPF as 000.000.000-00 | two digits modulo 11 |
| | Spain's DNI, 8 digits and a letter; NIE, X, Y or Z first | letter of the number modulo 23 |
| | Singapore's NRIC and FIN | letter of a sum modulo 11 |
| | Hong Kong's identity card, as A123456(3) | sum modulo 11 |
| | Canada's SIN as 000-000-000 | Luhn |
| | Italy's codice fiscale | letter of a sum modulo 26 |

Numbers of eleven digits alone (Poland, Turkey) would take too many others with them, and those of
the United States have no checksum.
"""

import re
from collections.abc import Callable
from datetime import date

CARD_MASK, IBAN_MASK, ID_MASK = "[CARD]", "[IBAN]", "[ID]"
_GAPS = re.compile("[ \u00a0-]")
_CARD = re.compile(r"[2-6](?<![\w.,-].)\d(?:[ \u00a0-]?\d){11,23}(?![\w-]|[.,]\d)")
_NETWORKS = re.compile(
    r"4|5[1-5]|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}\Z|3(?:0[0-5]|[689])\d{11}\Z"
    r"|3[47]|6(?:011|5|4[4-9])|62|35"
)
_LEAST_GROUP = 3  # digits; what stands in pairs is a table's
_IBAN = re.compile(r"[A-Z]{2}(?<!\w..)\d\d(?:[ \u00a0-]?[A-Z0-9]){11,30}(?!\w)")
# Lengths by country, of the registry of ISO 13616.
_REGISTRY = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 "
    "DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 "
    "HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 "
    "MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 "
    "RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 "
    "VG24 XK20 YE30 "
)
_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _REGISTRY.split()}
_SOUTH_AFRICA = re.compile(r"\d{2}(?<!\w..)(?:0[1-9]|1[0-2])[0-3]\d{8}(?!\w|[.,]\d)")
_AADHAAR = re.compile(r"[2-9](?<![\w-].)\d{3}([ -])\d{4}\1\d{4}(?![\w-]|[.,]\d)")
_CHINA = re.compile(r"[1-9](?<!\w.)\d{5}(?:19|20)\d{9}[\dXx](?!\w)")
_BRAZIL = re.compile(r"\d(?<![\w.].)\d\d\.\d{3}\.\d{3}-\d\d(?!\w)")
_SPAIN = re.compile(r"\d(?<!\w.)\d{7}-?[A-HJ-NP-TV-Z](?!\w)")
_FOREIGN_SPAIN = re.compile(r"[XYZ](?<!\w.)\d{7}-?[A-HJ-NP-TV-Z](?!\w)")
_SINGAPORE = re.compile(r"[STFGM](?<!\w.)\d{7}[A-Z](?!\w)")
_HONG_KONG = re.compile(r"[A-Z](?<!\w.)[A-Z]?\d{6}\([\dA]\)")
_CANADA = re.compile(r"\d(?<![\w-].)\d\d-\d{3}-\d{3}(?![\w-])")
# Of two persons with the same number one has letters in the place of digits.
_ITALY = re.compile(
    r"[A-Z]{6}(?<!\w.{6})(?=[A-Z]*\d)[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z](?!\w)"
)
_ODD_PLACES = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6,
     8, 12, 14, 16, 10, 22, 25, 24, 23], strict=True))  # fmt: skip
_OF_SINGAPORE = {"S": (0, "JZIHGFEDCBA"), "T": (4, "JZIHGFEDCBA"), "F": (0, "XWUTRQPNMLK"),
                 "G": (4, "XWUTRQPNMLK"), "M": (3, "KLJNPQRTUWX")}  # fmt: skip
_SPANISH = "TRWAGMYFPDXBNJZSQVHLCKE"
# Verhoeff's tables: the dihedral group of order ten, and its permutation applied again and again.
_TIMES = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]  # fmt: skip
_ONCE = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def mask_cards(text: str) -> str:
    """`text` with each number of a payment card as `[CARD]`."""
    return _cut(_CARD, text, CARD_MASK, _end_of_card)


def mask_ibans(text: str) -> str:
    """`text` with each IBAN as `[IBAN]`."""
    return _cut(_IBAN, text, IBAN_MASK, _end_of_iban)


def mask_national_ids(text: str) -> str:
    """`text` with each national number that proves itself as `[ID]`."""
    for pattern, proves in _NATIONAL:
        text = _masked(pattern, text, ID_MASK, proves)
    return text


def luhn(digits: str) -> bool:
    """Whether the last digit is the check of the others."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def verhoeff(digits: str) -> bool:
    """Whether the last digit is the check of the others."""
    check, turn = 0, list(range(10))
    for digit in reversed(digits):
        check = _TIMES[check][turn[int(digit)]]
        turn = [_ONCE[value] for value in turn]
    return check == 0


def _masked(pattern: re.Pattern[str], text: str, mask: str, proves: Callable[[str], bool]) -> str:
    return pattern.sub(lambda m: mask if proves(re.sub(r"[ .-]", "", m[0])) else m[0], text)


def _cut(pattern: re.Pattern[str], text: str, mask: str, end_of: Callable[[str], int]) -> str:
    """`text` with `mask` for what is found, up to its end; 0 is none. Another may stand behind."""
    kept, place = [], 0
    while match := pattern.search(text, place):
        end = end_of(match[0])
        kept += [text[place : match.start()], mask if end else match[0]]
        place = match.start() + (end or len(match[0]))
    return "".join(kept) + text[place:]


def _end_of_card(written: str) -> int:
    """A month and a year, say, may stand in groups behind the number."""
    ends = [len(written), *(gap.start() for gap in _GAPS.finditer(written))]
    for end in sorted(ends, reverse=True):
        groups = _GAPS.split(written[:end])
        if min(map(len, groups)) >= _LEAST_GROUP and _is_card("".join(groups)):
            return end
    return 0


def _is_card(digits: str) -> bool:
    known = 13 <= len(digits) <= 19 and _NETWORKS.match(digits)
    return bool(known) and len(set(digits)) > 1 and luhn(digits)


def _end_of_iban(written: str) -> int:
    """What stands behind it in capitals is not of it."""
    text = _GAPS.sub("", written)
    length = _LENGTHS.get(text[:2], 0)
    if not length or len(text) < length:
        return 0
    own = text[:length]
    number = int("".join(str(int(c, 36)) for c in own[4:] + own[:4]))
    if number % 97 != 1:
        return 0
    end, left = 0, length
    while left:
        left -= not _GAPS.match(written, end)
        end += 1
    return end


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _south_african(digits: str) -> bool:
    return _is_day("20" + digits[:2], digits[2:4], digits[4:6]) and luhn(digits)


def _chinese(text: str) -> bool:
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(text[:17]))
    right = "10X98765432"[total % 11] == text[17].upper()
    return right and _is_day(text[6:10], text[10:12], text[12:14])


def _brazilian(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = sum(int(d) * (length + 1 - place) for place, d in enumerate(digits[:length]))
        if int(digits[length]) != total * 10 % 11 % 10:
            return False
    return True


def _spanish(text: str) -> bool:
    return _SPANISH[int(text[:8]) % 23] == text[8]


def _spanish_foreign(text: str) -> bool:
    return _spanish(str("XYZ".index(text[0])) + text[1:])


def _singaporean(text: str) -> bool:
    first, letters = _OF_SINGAPORE[text[0]]
    weights = (2, 7, 6, 5, 4, 3, 2)
    total = first + sum(int(d) * w for d, w in zip(text[1:8], weights, strict=True))
    return letters[total % 11] == text[8]


def _of_hong_kong(text: str) -> bool:
    letters = text[: text.index("(") - 6]
    values = [36] * (2 - len(letters)) + [int(c, 36) for c in letters]
    values += [int(d) for d in text[len(letters) : len(letters) + 6]] + [int(text[-2], 16)]
    return sum(value * (9 - place) for place, value in enumerate(values)) % 11 == 0


def _italian(text: str) -> bool:
    odd = sum(_ODD_PLACES[c] for c in text[:15:2])
    even = sum(int(c) if c.isdigit() else ord(c) - ord("A") for c in text[1:15:2])
    return chr(ord("A") + (odd + even) % 26) == text[15]


_NATIONAL: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (_CHINA, _chinese),
    (_SOUTH_AFRICA, _south_african),
    (_AADHAAR, verhoeff),
    (_BRAZIL, _brazilian),
    (_SPAIN, _spanish),
    (_FOREIGN_SPAIN, _spanish_foreign),
    (_SINGAPORE, _singaporean),
    (_HONG_KONG, _of_hong_kong),
    (_CANADA, luhn),
    (_ITALY, _italian),
)
