"""Files as other tools put them together: each is read, or refused with what mends it."""

import json
import time

import orjson
import pytest

from data_prep.read.jsonl import objects_of
from data_prep.read.record import Bad, Raw
from tests.unit.data_prep.read.samples import bads, raws, read_bytes, tar

URL, TEXT = "https://www.nation.co.ke/1", "The council of the town met on Tuesday."
ONE, TWO = (json.dumps({"url": URL, "text": f"{TEXT} {n}"}) for n in (1, 2))
TABLE = f"url;text;country\r\n{URL};{TEXT} 1;ke\r\n"


def read(tmp_path, name: str, data: bytes | str) -> tuple[list[str], list[tuple[str, str]]]:
    """Texts that were read, and reasons with details of what was not."""
    found = list(read_bytes(tmp_path, name, data.encode() if isinstance(data, str) else data))
    texts = [record.fields["text"] for record in found if isinstance(record, Raw)]
    return texts, [(bad.reason, bad.detail) for bad in found if isinstance(bad, Bad)]


@pytest.mark.parametrize(
    "data",
    [
        ONE + TWO, f"{ONE} {TWO}\n", f"{ONE},\n{TWO},\n", f"\x1e{ONE}\n\x1e{TWO}\n",
        f"\ufeff{ONE}\n\ufeff{TWO}\n", f"{ONE},{TWO}\n",
    ],
)  # fmt: skip
def test_objects_that_stand_in_a_line_in_other_ways_are_all_read(tmp_path, data):
    assert read(tmp_path, "a.jsonl", data) == ([f"{TEXT} 1", f"{TEXT} 2"], [])


@pytest.mark.parametrize("line", [f"{ONE}x", f"{ONE}{TWO[:-3]}", f"x{ONE}", f"{ONE}[1]"])
def test_a_line_that_holds_something_else_too_is_set_aside_whole(tmp_path, line):
    texts, bads = read(tmp_path, "a.jsonl", f"{line}\n{TWO}\n")
    assert texts == [f"{TEXT} 2"] and [reason for reason, _ in bads] == ["broken_json"]


@pytest.mark.parametrize("between", ["", "\n", ",\n"])
def test_objects_over_several_lines_are_read(tmp_path, between):
    data = between.join(json.dumps(json.loads(line), indent=2) for line in (ONE, TWO))
    assert read(tmp_path, "a.json", data) == ([f"{TEXT} 1", f"{TEXT} 2"], [])


def test_the_line_of_a_spreadsheet_that_names_the_separator_is_no_header(tmp_path):
    assert read(tmp_path, "a.csv", f"sep=;\r\n{TABLE}") == ([f"{TEXT} 1"], [])


def test_lines_that_end_with_cr_alone_are_named(tmp_path):
    texts, ((reason, detail),) = read(tmp_path, "a.csv", TABLE.replace("\n", ""))
    assert (texts, reason) == ([], "broken_header") and "CR alone: tr" in detail


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_known_by_its_nuls(tmp_path, encoding):
    assert read(tmp_path, "a.csv", TABLE.encode(encoding)) == ([f"{TEXT} 1"], [])


@pytest.mark.parametrize("text", [{}, {"text": None}])
def test_a_first_line_with_a_list_of_objects_is_a_record_where_others_follow(tmp_path, text):
    first = {"url": URL, "comments": [{"text": "Well said."}, {"text": "Not so."}], **text}
    lines = [first, *(first | {"text": f"{TEXT} {n}"} for n in range(2))]
    found = read_bytes(tmp_path, "a.jsonl", b"\n".join(map(orjson.dumps, lines)))
    assert bads(found) == []
    assert [each.get("text") for each in raws(found)] == [None, f"{TEXT} 0", f"{TEXT} 1"]


def test_lines_that_each_hold_a_list_of_records_are_refused_with_what_mends_it(tmp_path):
    page = orjson.dumps({"articles": [{"url": URL, "text": TEXT}]})
    (bad,) = read_bytes(tmp_path, "a.jsonl", b"\n".join([page] * 3))
    assert (bad.number, bad.reason) == (2, "unknown_format") and ".articles[]" in bad.detail


IDS = [123456789012345678901234567890 + n for n in range(3)]
NUMBERED = [b'{"text": "Rain %d.", "id": %d}' % (n, i) for n, i in enumerate(IDS)]
# A list of objects might hold all records; a character that JSON wants escaped stands in a text.
FIRST = b'{"id": %d, "a": [{"text": "b"}]}' % IDS[0]
RAW = [each.replace(b"Rain", b"Ra\tin") for each in NUMBERED]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", b"\n".join(NUMBERED)),
        ("a.jsonl", b"[" + b", ".join(NUMBERED) + b"]"),
        ("a.jsonl", b"\n".join(b"[%b]" % each for each in NUMBERED)),
        ("a.jsonl", NUMBERED[0] + b"\n[" + b", ".join(NUMBERED[1:]) + b"]"),
        ("a.jsonl", b"[[" + b", ".join(NUMBERED) + b"]]"),
        ("a.json", b",\n".join(each.replace(b"{", b"{\n ") for each in NUMBERED)),
        ("a.jsonl", b" ".join(NUMBERED)),
        ("a.jsonl", b" ".join(RAW)),
        ("a.jsonl", b"\n".join((FIRST, *NUMBERED[1:]))),
        ("a.tar", tar([(f"{n}.json", each) for n, each in enumerate(NUMBERED)])),
        ("a.tar", tar([(f"{n}.json", b"\xef\xbb\xbf" + each) for n, each in enumerate(RAW)])),
    ],
)
def test_whole_numbers_of_any_length_stay_as_they_are(tmp_path, name, data):
    assert [each["id"] for each in raws(read_bytes(tmp_path, name, data))] == IDS


def test_whole_numbers_of_any_length_stay_as_they_are_in_lists_and_objects(tmp_path):
    line = b'{"text": "Rain.", "id": [%d], "n": {"own": [1.5, %d]}, "f": 1e30}' % (IDS[0], IDS[1])
    fields = {"extra": {"n": "n", "f": "f"}}
    (found,) = raws(read_bytes(tmp_path, "a.jsonl", line, fields=fields))
    assert (found["id"], found["extra.n"]) == ([IDS[0]], {"own": [1.5, IDS[1]]})
    assert found["extra.f"] == 1e30
    # As deep as orjson reads them, and deeper than json does.
    deep = b'{"text": "Rain.", "id": %d, "n": %b}' % (IDS[0], b"[" * 1000 + b"]" * 1000)
    (found,) = raws(read_bytes(tmp_path, "a.jsonl", deep, fields=fields))
    assert found["id"] == float(IDS[0])


def test_many_objects_in_a_line_are_read_in_time_that_grows_with_them():
    started = time.process_time()
    assert len(objects_of(b"{}\n," * 100_000)) == 100_000
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.jsonl", b"\n \n\n"), ("a.tar", bytes(1024)), ("a.jsonl", b"\xef\xbb\xbf\n")],
)
def test_a_file_without_a_record_is_an_empty_one(tmp_path, name, data):
    assert bads(read_bytes(tmp_path, name, data)) == [(0, "empty_file")]


def test_values_of_doubled_quotes_take_no_time(tmp_path):
    rows = ['"a" b\tx', '"' + '""' * 30_000 + "x\ty", *["u\tv"] * 300]
    started = time.process_time()
    found = read_bytes(tmp_path, "a.tsv", "\n".join(["url\ttext", *rows, ""]).encode())
    assert len(found) == len(rows) and time.process_time() - started < 5


def test_first_records_without_a_text_that_hold_others_with_one_are_records(tmp_path):
    first = b'{"url":"%s","text":null,"comments":[{"text":"x"}]}\n' % URL.encode()
    found = read_bytes(tmp_path, "a.jsonl", first * 2 + b'{"text": "Rain"}\n')
    assert [each.get("text") for each in raws(found)] == [None, None, "Rain"]
