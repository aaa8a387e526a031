"""The text of a page's bytes, also where they are damaged or more than their label says."""

import codecs

import pytest

from data_prep.read.html_worker import extract
from data_prep.read.labels import codec_of
from data_prep.read.page_encoding import decode
from tests.unit.data_prep.read.samples import raws, read_bytes, warc_record

HINDI = "महापौर ने सोमवार को कहा कि सड़कें ठीक होंगी। " * 20
KOREAN = "시장은 월요일에 도로를 고치겠다고 말했다. " * 20
JAPANESE = "市長は月曜日に、町の道路は直ると述べた。" * 20
RUSSIAN = "Мэр сказал в понедельник, что дороги починят. " * 20
FRENCH = "L'été a été long à Paris, où l'on a déjà rénové la chaussée. " * 20
HTML = "text/html"


@pytest.mark.parametrize("text", [HINDI, KOREAN, JAPANESE, RUSSIAN, FRENCH])
@pytest.mark.parametrize("kind", [HTML, "text/html; charset=utf-8", "text/html; charset=latin1"])
def test_a_damaged_byte_costs_a_page_in_utf_8_nothing_else(text, kind):
    body = text.encode()
    assert decode(b"\x92" + body, kind) == "\ufffd" + text
    assert decode(body + body[:-1] + "é".encode()[:1], kind).startswith(text)


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        (KOREAN, "euc_kr", "euc-kr"), (JAPANESE, "shift_jis", "Shift_JIS"),
        (JAPANESE, "euc_jp", "EUC-JP"), (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8_r", "koi8-r"), (FRENCH, "cp1252", "iso-8859-1"),
    ],
)  # fmt: skip
def test_a_damaged_byte_costs_a_page_in_an_old_encoding_nothing_else(text, codec, label):
    body = text.encode(codec)
    damaged = body + b"\xff\n" + body
    start = text[:200]
    for kind, head in ((f"text/html; charset={label}", ""), (HTML, f'<meta charset="{label}">')):
        found = decode(head.encode() + damaged, kind).removeprefix(head)
        assert found.startswith(start) and found.endswith(text[-200:])


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        ("①㈱髙島屋", "cp932", "Shift_JIS"), ("①㈱髙島屋", "cp932", "x-sjis"),
        ("똠방각하 펲시콜라", "cp949", "euc-kr"), ("똠방각하", "cp949", "ks_c_5601-1987"),
        ("똠방각하", "cp949", "cp949"), ("朱镕基说", "gb18030", "gb2312"),
        ("㐀㐁朱镕基", "gb18030", "gbk"), ("着嘅啲", "big5hkscs", "big5"),
        ("นายก “ข่าว”", "cp874", "tis-620"), ("“ğüş”", "cp1254", "iso-8859-9"),
        ("똠방각하", "johab", "johab"), ("똠방각하", "johab", "x-Johab"),
        ("Привет", "cp1251", "win-1251"), ("Привет", "mac_cyrillic", "x-mac-cyrillic"),
        ("“Zürich” – €", "cp1252", "latin-1"),
    ],
)  # fmt: skip
def test_a_label_stands_for_the_widest_encoding_of_its_name(text, codec, label):
    assert decode(text.encode(codec), f"text/html; charset={label}") == text
    meta = f'<meta http-equiv="Content-Type" content="text/html; charset={label}">'
    assert decode((meta + text).encode(codec), HTML) == meta + text


def test_the_declaration_of_xhtml_names_the_encoding():
    page = '<?xml version="1.0" encoding="EUC-KR"?><html><body>' + KOREAN
    assert decode(page.encode("euc_kr"), "application/xhtml+xml") == page


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (KOREAN, "cp949"), (KOREAN, "johab"), (RUSSIAN, "mac_cyrillic"), (RUSSIAN, "cp855"),
        (JAPANESE, "utf-32-be"),
    ],
)  # fmt: skip
def test_a_page_without_a_label_is_read_as_its_bytes_say(text, codec):
    assert (
        decode(f"<html><p>{text}</p></html>".encode(codec), HTML) == f"<html><p>{text}</p></html>"
    )


def test_a_label_that_lies_is_not_believed():
    assert decode(RUSSIAN.encode("cp1251"), "text/html; charset=utf-8") == RUSSIAN
    assert decode(RUSSIAN.encode("cp1251"), "text/html; charset=euc-kr") == RUSSIAN
    assert decode(KOREAN.encode("johab"), "text/html; charset=euc-kr") == KOREAN
    assert decode(b'<meta charset="utf-16">' + FRENCH.encode("cp1252"), HTML).endswith(FRENCH)
    assert decode(b"\xfe\xff" + KOREAN.encode("utf-16-be"), "text/html; charset=latin1") == KOREAN


# By iconv -t EUC-TW, of "市長在星期一表示，道路會修好。".
EUC_TW = bytes.fromhex("c6cbcfdbc7e3d1d3dfe6c4a1cfd0c6fca1a2e7ace6fbe4c4d4bac7efa1a4") * 20


@pytest.mark.parametrize(
    ("label", "body"),
    [
        ("EUC-TW", EUC_TW), ("x-euc-tw", EUC_TW), ("euc_tw", EUC_TW),
        ("ISO-2022-CN", b"\x1b$)A\x0e5D\x0f"), ("viscii", b"\xf0\xdf\xfec"),
        ("TCVN-5712", b"\xae\xad\xee"), ("armscii-8", b"\xb2\xb3"), ("GEORGIAN-PS", b"\xc0\xc1"),
    ],
)  # fmt: skip
def test_a_page_in_an_encoding_that_nothing_decodes_is_told_and_not_read_as_another(
    tmp_path, label, body
):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html"
    declared = f'<html><meta charset="{label}"><p>'.encode()
    answers = (
        head + f"; charset={label}".encode() + b"\r\n\r\n<html><p>" + body,
        head + b"\r\n\r\n" + declared + body,
        head + b"; charset=iso-8859-1\r\n\r\n" + declared + body,
    )
    for answer in answers:
        (bad,) = read_bytes(tmp_path, "a.warc", warc_record(answer))
        assert bad.reason == "unreadable_body"
        assert bad.detail == f"the page is in {label}, which nothing here decodes"
    # Where the name lies it says nothing, as that of every other encoding.
    lie = f'<meta charset="{label}">{RUSSIAN}'
    assert decode(lie.encode(), HTML) == lie


@pytest.mark.parametrize("kind", [HTML, "text/html; charset=utf-8", "text/html; charset=latin1"])
def test_an_escape_makes_a_page_in_utf_8_no_other(kind):
    for text in (RUSSIAN, FRENCH):
        assert decode(f"\x1b[0m{text}".encode(), kind) == f"\x1b[0m{text}"
    assert decode(JAPANESE.encode("iso2022_jp"), kind if "latin1" not in kind else HTML) == JAPANESE


def test_a_page_that_is_cut_off_within_a_character_is_read():
    page = f"<html><body><article><p>{HINDI}</p><p>{HINDI}".encode()
    assert page.endswith("। ".encode())
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    assert extract(head + page[:-3], 1 << 20)["text"].startswith(HINDI[:400])


def test_labels_that_are_of_no_text_name_no_encoding():
    escapes = ["unicode_escape", "raw_unicode_escape"]
    others = ["none", "base64", "idna", "rot13", "undefined", "", "a" * 200]
    assert not any(map(codec_of, escapes + others))
    assert codecs.lookup(codec_of("utf8")).name == "utf-8"


@pytest.mark.parametrize(
    ("text", "codec", "given"),
    [("①㈱", "cp932", "shift_jis"), ("똠방", "cp949", "euc_kr"), ("“x”", "cp1252", "latin-1")],
)
def test_an_encoding_that_is_given_is_read_as_the_widest_of_its_name(tmp_path, text, codec, given):
    data = f"id,text\na,{text}\n".encode(codec)
    found = read_bytes(tmp_path, "a.csv", data, encoding=given)
    assert raws(found) == [{"id": "a", "text": text}]
