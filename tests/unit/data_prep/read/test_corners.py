"""Corners of formats that real writers reach: each gives its records, or a line that helps."""

import gzip
import io
import lzma

import brotli
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.account import Account
from data_prep.config import Source
from data_prep.quarantine import Rejected
from data_prep.read import list_files
from data_prep.read.formats import ours
from data_prep.read.pieces import pieces
from data_prep.read.record import Bad
from data_prep.read.webdataset import OF_FILES
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.read.samples import (
    RECORDS,
    bads,
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


def test_an_archive_of_many_pages_is_one_lost_file(tmp_path):
    found = read_bytes(tmp_path, "a.tar", tar([(f"{n}.html", b"<p>") for n in range(50)]))
    account = Account(1)
    for bad in found:
        account.refuse("a.tar", bad.number, bad.reason, bad.detail, bad.excerpt)
        account.lose("a.tar", bad, 0)
    assert len(account.lost) == 1 and account.drops == {"unknown_format": 50}


def test_files_of_every_format_are_known_in_an_archive():
    endings = {ending for kind in ours().values() for ending in kind.endings}
    assert endings - {"json"} == OF_FILES


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


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_table_and_json_lines_are_known_where_their_names_are_exchanged(tmp_path, pack):
    assert raws(read_bytes(tmp_path, "a.jsonl", pack(comma()))) == RECORDS
    assert raws(read_bytes(tmp_path, "a.json", pack(comma()))) == RECORDS
    assert raws(read_bytes(tmp_path, "a.csv", pack(jsonl()))) == RECORDS
    (file,) = list_files(Source(path=str(tmp_path / "a.jsonl")))
    assert pieces(file, 10) == [file]  # a table stays whole


def test_a_header_that_stands_again_counts_anew(tmp_path):
    turned = [dict(reversed(record.items())) for record in RECORDS]
    both = comma(RECORDS[:4]) + comma(RECORDS[4:6]) + b"\xef\xbb\xbf" + comma(turned[6:])
    found = read_bytes(tmp_path, "a.csv", both)
    assert [item.number for item in found] == list(range(1, 10))
    assert raws(found) == RECORDS


def test_a_row_that_has_a_name_of_a_column_for_a_value_is_a_row(tmp_path):
    found = read_bytes(tmp_path, "a.csv", b"title,text\ntext,text\nA title,text\n")
    assert raws(found) == [{"title": "text", "text": "text"}, {"title": "A title", "text": "text"}]


def test_a_folder_of_no_records_says_what_it_holds(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UserError, match=r"no file of records; files of other endings.* 1 \.txt"):
        list_files(Source(path=str(tmp_path)))


@pytest.mark.parametrize("log", ["_delta_log", ".hoodie", "_versions"])
def test_a_table_whose_log_tells_which_files_count_is_not_read_as_its_files(tmp_path, log):
    (tmp_path / "t" / log).mkdir(parents=True)
    (tmp_path / "t" / "a.parquet").write_bytes(parquet())
    with pytest.raises(UserError, match=r"is a table of .*write it out as Parquet, or take all"):
        list_files(Source(path=str(tmp_path)))
    (file,) = list_files(Source(path=f"{tmp_path}/t/*.*"))
    assert file.path.endswith("a.parquet")


ERROR_PAGE = b"<!DOCTYPE html><html><body>403 Forbidden</body></html>\n"
NAMES = ["jsonl", "json", "warc", "wet", "arc", "tar", "arrow", "orc", "csv", "parquet", "jsonl.gz"]


@pytest.mark.parametrize("ending", NAMES)
@pytest.mark.parametrize("content", [ERROR_PAGE, b"Some prose, in lines.\nMore of it.\n" * 9])
def test_a_file_of_something_else_is_a_lost_file_and_not_one_record(tmp_path, ending, content):
    account = Account(1)
    for bad in read_bytes(tmp_path, f"a.{ending}", content):
        account.lose("a", bad, 0)
    assert len(account.lost) == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv", "a.warc"])
def test_a_pointer_of_git_lfs_is_named_with_what_fetches_the_file(tmp_path, name):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 123\n"
    bad = the_bad(read_bytes(tmp_path, name, pointer))
    assert (bad.number, bad.detail) == (
        0,
        "a pointer of Git LFS, not the file itself: git lfs pull",
    )


def test_a_file_with_a_line_that_is_an_object_is_json_lines(tmp_path):
    found = read_bytes(tmp_path, "a.jsonl", b"no\n" + jsonl(RECORDS[:1]) + b"[1]\n")
    assert bads(found) == [(1, "broken_json"), (3, "wrong_type")]


@pytest.mark.parametrize(
    ("record", "way"),
    [
        ({"data": {"articles": RECORDS}}, ".data.articles[]"),
        ({"hits": {"hits": [{"_id": "1", "_source": RECORDS[0]}]}}, ".hits.hits[]._source"),
        ({"n": 1, "the list": RECORDS}, '."the list"[]'),
    ],
)
def test_the_way_to_a_list_of_records_is_told(tmp_path, record, way):
    bad = the_bad(read_bytes(tmp_path, "a.json", jsonl([record])))
    assert bad.detail.endswith(f"jq -c '{way}' FILE > FILE.jsonl")


def test_a_list_that_begins_with_null_is_a_list(tmp_path):
    found = read_bytes(tmp_path, "a.json", b"[null, " + jsonl(RECORDS[:1]).strip() + b", null]")
    assert raws(found) == RECORDS[:1] and bads(found) == [(1, "wrong_type"), (3, "wrong_type")]


def test_a_list_of_objects_in_one_line_is_its_objects(tmp_path):
    line = b"[" + jsonl(RECORDS[1:4]).strip().replace(b"\n", b", ") + b"]\n"
    found = read_bytes(tmp_path, "a.jsonl", jsonl(RECORDS[:1]) + line + b"[1]\n[]\n")
    assert raws(found) == RECORDS[:4]
    assert bads(found) == [(3, "wrong_type"), (4, "wrong_type")]
    assert raws(read_bytes(tmp_path, "b.json", b"[" + line.strip() + b"]")) == RECORDS[1:4]
