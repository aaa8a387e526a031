"""Text files in other encodings than UTF-8: found and said with a confidence; damage stays so."""

import json

import pytest

from data_prep.config import FieldMap, Limits, Prep, Source
from data_prep.engine import run_stage
from data_prep.ingest import Ingest
from data_prep.read import list_files, open_reader
from data_prep.read.encoding import find_encoding
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.read.samples import bads, raws, read_bytes

# A sentence of news in the encodings that papers of its language were kept in.
SENTENCES = {
    (
        "de",
        "cp1252",
    ): "Der Präsident erklärte, daß die Maßnahmen für Österreich „vorläufig“ gelten.",
    ("fr", "cp1252"): "L’État français a décidé d’augmenter les dépenses de défense à Orléans.",
    ("es", "cp1252"): "El presidente anunció más inversión en educación para los niños de España.",
    ("pl", "cp1250"): "Prezydent ogłosił, że rząd podejmie działania w sprawie środków na zdrowie.",
    ("cs", "cp1250"): "Vláda České republiky schválila nový zákon o daních, řekl ministr Dvořák.",
    ("ru", "cp1251"): "Президент объявил о новых мерах поддержки экономики страны в четверг утром.",
    ("ru", "koi8_r"): "Президент объявил о новых мерах поддержки экономики страны в четверг утром.",
    (
        "ru",
        "mac_cyrillic",
    ): "Президент России объявил в Москве: «новая мера» — для всех. Её примут.",
    ("ru", "cp855"): "Президент объявил о новых мерах поддержки экономики страны в четверг утром.",
    ("uk", "koi8_u"): "Президент України оголосив про нові заходи підтримки економіки країни.",
    ("sr", "mac_cyrillic"): "Председник Србије и Народна банка објавили су у Београду Нове мере.",
    ("sr", "cp1251"): "Ђак је рекао да ће његова мајка доћи у Београд у четвртак ујутру ђак.",
    ("el", "cp1253"): "Ο πρωθυπουργός ανακοίνωσε νέα μέτρα για την οικονομία της χώρας την Πέμπτη.",
    ("tr", "cp1254"): "Cumhurbaşkanı dün yaptığı açıklamada yeni önlemlerin alınacağını söyledi.",
    ("he", "cp1255"): "ראש הממשלה הודיע על צעדים חדשים לכלכלת המדינה ביום חמישי בבוקר.",
    ("ar", "cp1256"): "أعلن رئيس الوزراء عن إجراءات جديدة لدعم الاقتصاد الوطني صباح يوم الخميس.",
    ("th", "cp874"): "นายกรัฐมนตรีประกาศมาตรการใหม่เพื่อสนับสนุนเศรษฐกิจของประเทศในเช้าวันพฤหัสบดี",
    ("ja", "cp932"): "首相は木曜日の朝、国の経済を支援するための新しい措置を発表した。",
    ("ja", "euc_jp"): "首相は木曜日の朝、国の経済を支援するための新しい措置を発表した。",
    ("ko", "cp949"): "대통령은 목요일 아침 국가 경제를 지원하기 위한 새로운 조치를 발표했다.",
    ("ko", "johab"): "대통령은 목요일 아침 국가 경제를 지원하기 위한 새로운 조치를 발표했다.",
    ("ko", "iso2022_kr"): "대통령은 목요일 아침 국가 경제를 지원하기 위한 새로운 조치를 발표했다.",
    ("zh", "gb18030"): "总统周四上午宣布了支持国家经济的新措施，北京市民表示欢迎。",
    ("zh", "big5"): "總統週四上午宣布了支持國家經濟的新措施，台北市民表示歡迎。",
}


@pytest.mark.parametrize(("language", "encoding"), SENTENCES)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_an_encoding_of_old_papers_is_found_and_read(tmp_path, name, language, encoding):
    text = SENTENCES[language, encoding]
    line = f'x,"{text}"\n' if name == "a.csv" else f'{{"id": "x", "text": "{text}"}}\n'
    head = "id,text\n" if name == "a.csv" else ""
    data = (head + line * 3).encode(encoding)
    assert raws(read_bytes(tmp_path, name, data)) == [{"id": "x", "text": text}] * 3
    assert find_encoding(data)[1] >= 0.7


@pytest.mark.parametrize(("language", "encoding"), [("zh", "big5"), ("zh", "gb18030")])
def test_detectors_that_agree_on_chinese_leave_no_doubt(language, encoding):
    text = SENTENCES[language, encoding] * 3
    found, confidence = find_encoding(f"1;{text}\n2;{text}\n".encode(encoding))
    assert text.encode(encoding).decode(found) == text and confidence > 0.8


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("Ludność czekała długo, aż przyjechał źle ubrany świadek z Łodzi.", "iso8859_2", ""),
        ("V Praze se konalo důležité setkání, předseda řekl, že přijede.", "iso8859_2", ""),
        ("U Zagrebu je održan važan sastanak, premijer je rekao da će doći.", "iso8859_2", ""),
        ("عقد اجتماع مهم في القاهرة وحضره رئيس الوزراء وألقى كلمة.", "iso8859_6", ""),
        ("Στην Αθήνα μίλησε ο πρωθυπουργός. Άλλοι πολίτες περίμεναν ώρες.", "iso8859_7", ""),
        ("Στην Αθήνα μίλησε ο πρωθυπουργός. ¶ Άλλοι πολίτες περίμεναν ώρες.", "cp1253", ""),
        ("Ludność „Łodzi” czekała długo, aż przyjechał źle ubrany świadek.", "cp1250", ""),
        # The same bytes in both; the wider one has quotes, which may stand further on.
        ("Budapesten fontos találkozót tartottak, az idő múlt; űr volt.", "iso8859_2", "cp1250"),
    ],
)
def test_iso_s_letters_are_told_from_those_of_windows(text, encoding, found):
    data = f"1;{text}\n2;{text}\n".encode(encoding)
    assert find_encoding(data)[0] == (found or encoding)
    assert data.decode(found or encoding) == data.decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_an_encoding_with_a_mark_is_read_by_it(tmp_path, name, encoding):
    text = (samples.jsonl() if name == "a.jsonl" else samples.comma()).decode()
    data = ("\ufeff" + text).encode(encoding) if encoding[-2:] == "be" else text.encode(encoding)
    found = raws(read_bytes(tmp_path, name, data))
    assert [record["text"] for record in found] == [r["text"] for r in samples.RECORDS]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le"])
def test_json_with_a_mark_needs_no_name(tmp_path, encoding):
    data = ("\ufeff" * (encoding != "utf-16") + samples.jsonl().decode()).encode(encoding)
    assert len(raws(read_bytes(tmp_path, "a", data))) == len(samples.RECORDS)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("language", ["de", "ko", "zh", "ar"])
def test_wide_characters_without_a_mark_are_found(tmp_path, language, encoding):
    text = next(text for (each, _), text in SENTENCES.items() if each == language) + " 👋"
    data = f'id,text\nx,"{text}"\ny,"{text}"\n'.encode(encoding)
    assert find_encoding(data)[0] == encoding
    assert [fields["text"] for fields in raws(read_bytes(tmp_path, "a.csv", data))] == [text] * 2


def test_a_nul_makes_no_text_wide():
    assert find_encoding(b"id,text\nx,a\0b\n" * 3) == ("", 1.0)
    assert find_encoding(b"id,text\nx,plain\n" * 3 + b"\0" * 40) == ("", 1.0)


@pytest.mark.parametrize("encoding", ["cp949", "gb18030", "big5", "cp932", "euc_jp"])
@pytest.mark.parametrize("before", range(4))
def test_what_is_looked_at_of_a_large_file_ends_within_no_character(encoding, before):
    """The detectors take half a character for one that there is not."""
    languages = {"cp949": "ko", "gb18030": "zh", "big5": "zh", "cp932": "ja", "euc_jp": "ja"}
    text = SENTENCES[languages[encoding], encoding]
    data = ("x" * before + f"{text} {text}\n" * 900).encode(encoding)
    found, confidence = find_encoding(data)
    assert data.decode(found) == data.decode(encoding) and confidence > 0.8


def test_utf_8_with_damage_stays_utf_8(tmp_path):
    """A few broken lines are set aside, and turn no other line into another encoding's letters."""
    lines = [b'{"text": "caf\xc3\xa9 na\xc3\xafve \xe2\x82\xac"}\n'] * 40
    lines[7] = lines[31] = b'{"text": "broken \xe9t\xe9"}\n'
    found = read_bytes(tmp_path, "a.jsonl", b"".join(lines))
    assert bads(found) == [(8, "invalid_utf8"), (32, "invalid_utf8")]
    assert {record["text"] for record in raws(found)} == {"café naïve €"}


def test_one_odd_byte_tells_no_encoding(tmp_path):
    data = b'{"text": "plain"}\n' * 5 + b'{"text": "caf\xe9"}\n'
    assert bads(read_bytes(tmp_path, "a.jsonl", data)) == [(6, "invalid_utf8")]
    text = raws(read_bytes(tmp_path, "b.jsonl", data, encoding="cp1252"))[-1]["text"]
    assert text == "café"


def test_the_reader_says_the_encoding_and_how_sure_it_is(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        "id;text\r\n1;Café déjà vu à l’hôtel\r\n2;Où êtes-vous né\r\n".encode("cp1252")
    )
    (file,) = list_files(Source(path=str(path)))
    reader = open_reader(file, Limits())
    assert [r.fields["text"] for r in reader] == ["Café déjà vu à l’hôtel", "Où êtes-vous né"]
    assert reader.note.startswith("read as cp1252, by its bytes, confidence ")


def test_where_it_is_not_sure_it_says_how_to_give_the_encoding(tmp_path):
    table = "url,text\nhttps://a.example/1,São Paulo não tem opções, disse a ministra.\n"
    path = tmp_path / "a.csv"
    path.write_bytes(table.replace("opções,", "opções").encode("cp850"))
    (file,) = list_files(Source(path=str(path)))
    reader = open_reader(file, Limits())
    assert len(list(reader)) == 1
    assert "letters are wrong, give it: encoding=NAME, such as encoding=cp850" in reader.note
    (file,) = list_files(Source(path=str(path), encoding="cp850"))
    (record,) = open_reader(file, Limits())
    assert record.fields["text"] == "São Paulo não tem opções disse a ministra."


def test_an_encoding_that_there_is_not_is_refused():
    for wrong in ("latin99", "rot13", "hex", "idna", "undefined", "euc-tw"):
        with pytest.raises(ValueError, match=r"is no encoding of text.*iconv -f EUC-TW -t UTF-8"):
            Source(path="a", encoding=wrong)


def test_documents_with_characters_that_could_not_be_read_are_counted(tmp_path):
    rows = [
        b"https://a.ke/1,Tea,caf\x81",
        b"https://a.ke/2,T\x8da,tea",
        b"https://a.ke/3,Tea,tea time",
    ]
    (tmp_path / "a.csv").write_bytes(b"\n".join([b"url,title,text", *rows]))
    (tmp_path / "b.jsonl").write_bytes(b'{"url": "https://a.ke/4", "text": "half \\ud83d"}')
    source = {"path": str(tmp_path / "a.csv"), "encoding": "cp1252"}
    given = [source, {"path": str(tmp_path / "b.jsonl")}]
    stage = Ingest(Prep(input=given, output=str(tmp_path / "o"), execution={"workers": 1}))
    run_stage(stage)
    assert [(r.counts["kept"], r.counts["damaged"]) for r in stage.receipts()] == [(4, 3)]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.arrow"])
def test_names_of_columns_in_another_case_are_found(tmp_path, name):
    import pyarrow as pa

    record = {"URL": "https://a.example/", "Text": "Some text", "TITLE": "One", "Meta": "x"}
    data = {
        "a.csv": samples.comma, "a.jsonl": samples.jsonl,
        "a.parquet": lambda rows: samples.parquet(pa.Table.from_pylist(rows)),
        "a.arrow": lambda rows: samples.arrow(pa.Table.from_pylist(rows)),
    }[name]([record, record])  # fmt: skip
    expected = {"url": "https://a.example/", "text": "Some text", "title": "One"}
    assert raws(read_bytes(tmp_path, name, data)) == [expected] * 2


def test_names_that_differ_by_case_alone_are_told_apart(tmp_path):
    record = {"text": "right", "Text": "wrong", "URL": "https://a.example/", "Url": "b"}
    (found,) = raws(read_bytes(tmp_path, "a.jsonl", samples.jsonl([record])))
    assert found == {"text": "right"}


def test_half_characters_of_an_encoding_end_no_run(tmp_path):
    content = rb"url,text" + b"\n" + rb"https://a.ke/1,Rain \ud83d\ude00 \ud800"
    found = read_bytes(tmp_path, "a.csv", content, encoding="unicode_escape")
    assert raws(found)[0]["text"] == "Rain \U0001f600 \ufffd"


def test_names_in_another_case_are_found_in_every_record_whatever_the_first_has(tmp_path):
    lines = b"""{"url": "https://a.ke/1", "Text": "Rain.", "Title": "One", "Country": "ke"}
{"URL": "https://a.ke/2", "text": "Sun.", "title": "Two", "country": "ng"}
{"url": "https://a.ke/3", "text": "Wind.", "TITLE": "Three", "Meta": {"x": 1}}
"""
    found = raws(read_bytes(tmp_path, "a.jsonl", lines, fields=FieldMap(date="meta.x")))
    assert [each["title"] for each in found] == ["One", "Two", "Three"]
    assert [each["text"] for each in found] == ["Rain.", "Sun.", "Wind."]
    assert [each["url"][-1] for each in found] == ["1", "2", "3"]
    assert [each.get("country") for each in found] == ["ke", "ng", None]
    assert found[2]["date"] == 1


@pytest.mark.parametrize("records", [1, 60])
@pytest.mark.parametrize("place", [120, -100])
def test_a_damaged_byte_in_utf_8_of_one_line_is_no_other_encoding(tmp_path, records, place):
    text = "L’été dernier, le président a été réélu à Évreux après une journée animée. " * 5
    whole = json.dumps([{"text": text}] * records, ensure_ascii=False).encode()
    data = whole[:place] + b"\xe9\xff\xe8" + whole[place:]
    found = read_bytes(tmp_path, "a.json", data)
    assert raws(found) == [{"text": text}] * (records - 1)
    assert (records, "invalid_utf8") in bads(found) or (1, "invalid_utf8") in bads(found)
