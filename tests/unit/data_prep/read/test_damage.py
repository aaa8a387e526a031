"""Broken records and damaged files: what is good is kept, what is not has a reason."""

import gzip
import io
import random

import pytest
import zstandard

from data_prep.config import Limits
from data_prep.read import Raw
from data_prep.read.unpack import GZIP_STEP_BYTES
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.read.samples import RECORDS, bads, raws, read_bytes

SMALL = Limits(record_bytes=2000)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "caf\xe9"}', "invalid_utf8"),
        (b'{"text": "\xed\xa0\x80"}', "invalid_utf8"),
        (b'{"text": "\xc0\xaf"}', "invalid_utf8"),
        (b'{"text": "a" "b"}', "broken_json"),
        (b'{"text": "a"', "broken_json"),
        (b'{"text": "\\u12"}', "broken_json"),
        (b"[" * 100_000, "record_too_long"),
        (b"[" * 1900, "broken_json"),
        (b'["text"]', "wrong_type"),
        (b'"text"', "wrong_type"),
        (b"null", "wrong_type"),
        (b"12", "wrong_type"),
        (b'{"text": "' + b"x" * 2000 + b'"}', "record_too_long"),
    ],
)
def test_a_bad_line_has_its_reason_and_its_neighbours_pass(tmp_path, line, reason):
    data = b'{"text": "before"}\n' + line + b'\n{"text": "after"}\n'
    found = read_bytes(tmp_path, "a.jsonl", data, SMALL)
    assert raws(found) == [{"text": "before"}, {"text": "after"}]
    assert bads(found) == [(2, reason)]
    assert found[1].excerpt == line[:300]


@pytest.mark.parametrize("last", ['6,he said "hello', '6,"quoted, with a comma"', '6,"quoted"'])
def test_rows_of_csv_behind_a_quote_that_is_not_closed_are_each_told(tmp_path, last):
    rows = ["1,one", '2,"two', "3,three", "4,four", "5,five", last, "7,seven"]
    found = read_bytes(tmp_path, "a.csv", "\n".join(["id,text", *rows, ""]).encode())
    assert [fields["id"] for fields in raws(found)] == ["1", "7"]
    assert bads(found) == [(number, "broken_csv") for number in range(2, 7)]
    assert found[1].detail == "one of 5 rows that run together behind a quote which is not closed"
    assert found[-1].number == 7


@pytest.mark.parametrize(
    "text",
    ['"two\nthree"', '"a, b\nc, d"', '"two\n\nthree, four"', '"He said ""hi"",\nthen, left"',
     '"two\nHe said "hi" to all"'],
)  # fmt: skip
def test_a_text_of_csv_over_several_lines_is_one_row(tmp_path, text):
    found = read_bytes(tmp_path, "a.csv", f"id,text\n1,{text}\n2,last\n".encode())
    assert [fields["id"] for fields in raws(found)] == ["1", "2"] and not bads(found)


def test_lone_surrogates_become_the_replacement_character(tmp_path):
    data = b'{"text": "a\\ud800b", "title": "\\udc00", "meta": {"u": "\\ud83d\\ude00\\ud83d"}}'
    found = read_bytes(tmp_path, "a.jsonl", data, fields={"url": "meta.u"})
    assert raws(found) == [{"text": "a\ufffdb", "title": "\ufffd", "url": "\U0001f600\ufffd"}]


def test_blank_lines_and_line_ends_of_windows_are_no_records(tmp_path):
    data = b'\xef\xbb\xbf{"text": "1"}\r\n\r\n  \n\n{"text": "5"}'
    found = read_bytes(tmp_path, "a.jsonl", data)
    assert found == [
        Raw(1, {"text": "1"}, b'{"text": "1"}\r'), Raw(5, {"text": "5"}, b'{"text": "5"}'),
    ]  # fmt: skip


def test_escaped_nul_and_marks_of_direction_pass_as_they_are(tmp_path):
    data = '{"text": "a\\u0000b\u202ec"}'.encode()
    assert raws(read_bytes(tmp_path, "a.jsonl", data)) == [{"text": "a\0b\u202ec"}]


@pytest.mark.parametrize("outer", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("inner", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a"])
def test_compression_in_compression_is_refused(tmp_path, name, outer, inner):
    data = outer(inner(samples.jsonl()))
    assert bads(read_bytes(tmp_path, name, data)) == [(0, "nested_compression")]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\3\4....", "zip"), (b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0", "xz"),
        (gzip.compress(samples.parquet()), "Parquet inside gzip"), (b"%PDF-1.7", "PDF"),
    ],
)  # fmt: skip
def test_formats_that_are_not_read_are_named(tmp_path, data, what):
    (bad,) = read_bytes(tmp_path, "a.jsonl", data)
    assert (bad.reason, bad.detail.startswith(f"{what} is not read")) == ("unknown_format", True)


@pytest.mark.parametrize("name", samples.every_format())
def test_a_truncated_file_keeps_what_stands_before_the_cut(tmp_path, name):
    data = samples.every_format()[name]
    whole = raws(read_bytes(tmp_path, name, data))
    seen = set()
    for cut in range(1, len(data), max(len(data) // 40, 1)):
        found = read_bytes(tmp_path, name, data[:cut])
        good = raws(found)
        if name == "a.csv":
            # Nothing tells that the last value of the last row is not whole.
            good = good[:-1]
        assert good == whole[: len(good)]
        # Where nothing is whole the file itself is lost, too.
        bad = [entry for entry in bads(found) if good or entry != (0, "unknown_format")]
        assert len(bad) <= 1
        if name.endswith((".gz", ".zst", ".parquet")):
            assert len(bad) == 1
        seen.add(len(good))
    # Parquet keeps its index at its end, and zstd gives whole blocks only, here one.
    assert max(seen) >= (0 if "parquet" in name or "zst" in name else len(whole) // 2)


CHECKED = zstandard.ZstdCompressor(write_checksum=True).compress


@pytest.mark.parametrize("compress", [gzip.compress, CHECKED], ids=["gzip", "zstd"])
def test_records_before_damage_in_compressed_data_are_kept(tmp_path, compress):
    rng = random.Random(5)
    records = [{"text": rng.randbytes(1000).hex()} for _ in range(300)]
    data = bytearray(compress(samples.jsonl(records)))
    data[len(data) * 3 // 4 : len(data) * 3 // 4 + 16] = bytes(16)
    *good, bad = read_bytes(tmp_path, "a", bytes(data))
    kept = [r.fields for r in good if isinstance(r, Raw)]
    lost = GZIP_STEP_BYTES if compress is gzip.compress else 1 << 17
    assert len(kept) > 225 - lost / 2000 - 5
    assert kept[:200] == records[: min(len(kept), 200)]
    assert bad.reason in ("damaged_file", "truncated_file")


def test_a_damaged_row_group_is_passed_over_and_the_others_are_read(tmp_path):
    data = samples.parquet(compression="none")
    at = data.index(RECORDS[4]["text"].encode())
    metadata = samples.pq.ParquetFile(io.BytesIO(data)).metadata
    start = metadata.row_group(1).column(3).dictionary_page_offset
    assert start < at < metadata.row_group(2).column(0).dictionary_page_offset
    broken = data[:start] + b"\xff" * 12 + data[start + 12 :]
    found = read_bytes(tmp_path, "a.parquet", broken)
    assert raws(found) == RECORDS[:3] + RECORDS[6:]
    assert bads(found) == [(4, "damaged_file")]
    assert "row group 1 of 3 rows" in found[3].detail


def test_a_file_that_is_only_called_parquet_is_damaged(tmp_path):
    assert bads(read_bytes(tmp_path, "a.parquet", b"garbage")) == [(0, "damaged_file")]
    data = samples.parquet()
    assert bads(read_bytes(tmp_path, "a.parquet", data[:-4])) == [(0, "truncated_file")]
    huge = data[:-8] + b"\xff\xff\xff\x7fPAR1"
    assert bads(read_bytes(tmp_path, "a.parquet", huge)) == [(0, "damaged_file")]


def test_a_csv_keeps_quoted_newlines_quotes_and_empty_values(tmp_path):
    data = b'id,text,title\r\n1,"a\n""b"", c\r\n\r\nd",\r\n\r\n2,x,"y,z"\r\n'
    assert raws(read_bytes(tmp_path, "a.csv", data)) == [
        {"id": "1", "text": 'a\n"b", c\r\n\r\nd'}, {"id": "2", "text": "x", "title": "y,z"},
    ]  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_the_one_that_makes_the_text_a_column(tmp_path, delimiter):
    data = delimiter.join(("a b", "text", "url")) + "\n" + delimiter.join("xyz")
    assert raws(read_bytes(tmp_path, "a.csv", data.encode())) == [{"text": "y", "url": "z"}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "broken_csv"),
        (b"1,2,3", "broken_csv"),
        (b"1,caf\xe9", "invalid_utf8"),
        (b"1,a\rb", "broken_csv"),
        (b'1,"' + b"x" * 3000 + b'"', "record_too_long"),
        (b'1,"' + b"x, y\nz, 1\n" * 300 + b'"', "record_too_long"),
        (b'1,"' + b"x, y\n" * 500 + b'a ""b"" c"', "record_too_long"),
    ],
)
def test_a_bad_row_has_its_reason_and_its_neighbours_pass(tmp_path, row, reason):
    found = read_bytes(tmp_path, "a.csv", b"id,text\n0,before\n" + row + b"\n2,after\n", SMALL)
    assert raws(found) == [{"id": "0", "text": "before"}, {"id": "2", "text": "after"}]
    assert bads(found) == [(2, reason)]


def test_nul_bytes_pass_in_a_csv(tmp_path):
    assert raws(read_bytes(tmp_path, "a.csv", b"text\na\0b\n")) == [{"text": "a\0b"}]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"id,body\n1,2\n", "missing_text"),
        (b"text,text\n1,2\n", "broken_header"),
        (b"x" * 3000 + b",text\n1,2\n", "broken_header"),
        (b"\n\n", "empty_file"),
    ],
)
def test_a_header_that_cannot_be_used_is_a_reason_for_the_file(tmp_path, header, reason):
    assert bads(read_bytes(tmp_path, "a.csv", header, SMALL)) == [(0, reason)]


def test_a_quote_that_is_never_closed_ends_in_a_reason(tmp_path):
    data = b'id,text\n1,good\n2,"open\n' + b"3,x\n" * 5000
    found = read_bytes(tmp_path, "a.csv", data, SMALL)
    assert raws(found)[0] == {"id": "1", "text": "good"}
    assert (2, "record_too_long") in bads(found)
