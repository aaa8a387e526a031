"""Corners of formats that real writers reach: each gives its records, or a line that helps."""

import io
import lzma

import brotli
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.quarantine import Rejected
from data_prep.read.record import Bad
from tests.unit.data_prep.read.samples import (
    RECORDS,
    comma,
    jsonl,
    parquet,
    raws,
    read,
    read_bytes,
    tar,
)

TABLE = pa.Table.from_pylist(RECORDS)


def the_bad(found) -> Bad:
    (bad,) = (item for item in found if isinstance(item, Bad))
    return bad


def test_row_groups_without_rows_are_no_damage(tmp_path):
    out = io.BytesIO()
    with pq.ParquetWriter(out, TABLE.schema) as writer:
        for start, rows in ((0, 0), (0, 4), (0, 0), (4, 5), (9, 0)):
            writer.write_table(TABLE.slice(start, rows))
    assert pq.ParquetFile(out).num_row_groups == 5
    assert read_bytes(tmp_path, "a.parquet", out.getvalue())[0].number == 1
    assert raws(read_bytes(tmp_path, "a.parquet", out.getvalue())) == RECORDS


def test_a_row_without_its_struct_is_told_as_such(tmp_path):
    rows = [{"doc": {"page": {"body": "A text."}}}, {"doc": None}]
    table = pa.Table.from_pylist(rows)
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(table))
    found, reader = read(path, fields={"text": "doc.page.body"})
    assert raws(found) == [{"text": "A text."}, {}]
    assert reader.explained(Rejected("missing_text", "no text")).detail == "no text"


def test_a_column_in_structs_that_is_not_there_is_told_with_the_nearest(tmp_path):
    table = pa.Table.from_pylist([{"doc": {"page": {"body": "A text."}}}])
    bad = the_bad(
        read_bytes(tmp_path, "a.parquet", parquet(table), fields={"text": "doc.page.bdy"})
    )
    assert bad.detail.endswith("give fields.text=doc.page.body")
    bad = the_bad(read_bytes(tmp_path, "b.parquet", parquet(pa.table({}))))
    assert bad.detail == "the file has no columns"


@pytest.mark.parametrize(
    ("name", "content"),
    [("x/a.jsonl", jsonl()), ("./x/a.csv", comma()), ("a.parquet", parquet()), ("p.html", b"<p>")],
)
def test_an_archive_of_files_of_records_is_named_as_such(tmp_path, name, content):
    bad = the_bad(read_bytes(tmp_path, "a.tar", tar([(name, content)])))
    assert bad.reason == "unknown_format"
    assert bad.detail == f"member {name!r} is itself a file of records: tar -xf FILE"


def test_a_page_beside_a_text_is_passed_over(tmp_path):
    found = read_bytes(tmp_path, "a.tar", tar([("a.html", b"<p>"), ("a.txt", b"A text.")]))
    assert raws(found) == [{"text": "A text.", "id": "a"}]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl.br", brotli.compress(jsonl()), "brotli is not read: brotli -d it"),
        ("a.jsonl.lzma", lzma.compress(jsonl(), lzma.FORMAT_ALONE), "lzma is not read: unlzma it"),
        ("a.jsonl.sz", b"\xff\x06\0\0sNaPpY\0\1\2\3\4\5\6\7", "snappy is not read: snzip -d it"),
        ("a.jsonl.Z", b"\x1f\x9d\x90\0\1\2\3\4\5\6\7" * 4, "compress is not read: uncompress it"),
    ],
)
def test_rare_compressions_are_named_with_what_undoes_them(tmp_path, name, content, told):
    bad = the_bad(read_bytes(tmp_path, name, content))
    assert (bad.reason, bad.detail[: len(told)]) == ("unknown_format", told)
