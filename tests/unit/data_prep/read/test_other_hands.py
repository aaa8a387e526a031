"""Files as still other tools and hands make them: each is read, or refused with what mends it."""

import gzip
import json
import zlib
from decimal import Decimal
from uuid import UUID

import brotli
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from data_prep.config import Source
from data_prep.read import list_files
from data_prep.read.http import decoded, is_html, may_be_html
from data_prep.read.record import Bad
from tests.unit.data_prep.read.samples import PAGE, raws, read_bytes
from tests.unit.data_prep.read.test_http import MOST, STORY, chunked, raw_deflate
from tests.unit.data_prep.read.test_odd_files import ONE, TEXT, TWO, URL, read

RECORDS = [json.loads(ONE), json.loads(TWO)]


@pytest.mark.parametrize("coding", ["gzip", "", "identity"])
@pytest.mark.parametrize(
    "body",
    [
        brotli.compress(STORY), zstandard.compress(STORY), zlib.compress(STORY), raw_deflate(STORY),
        b"\r\n" + gzip.compress(STORY), STORY + b"\0" * 200,
    ],
    ids=["br", "zstd", "zlib", "deflate", "gzip behind a line end", "padded"],
)  # fmt: skip
def test_a_coding_that_the_header_does_not_name_is_undone(coding, body):
    assert decoded({"content-encoding": coding}, body, MOST).body == STORY


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", brotli.compress(STORY) + b"\n\n"), ("brotli", brotli.compress(STORY)),
        ("x-deflate", zlib.compress(STORY)), ('"gzip"', gzip.compress(STORY)),
        ("gzip;q=1.0", gzip.compress(STORY)), ("gzip", gzip.compress(STORY)[:-8] + bytes(8)),
    ],
)  # fmt: skip
def test_names_of_codings_and_ends_of_data_may_be_odd(coding, body):
    assert decoded({"content-encoding": coding}, body, MOST).body == STORY


def test_chunks_that_no_header_tells_are_joined():
    assert decoded({}, chunked(STORY), MOST).body == STORY


def test_a_number_at_the_start_of_a_text_is_no_chunk():
    assert decoded({}, b"12\r\n" + STORY, MOST).body == b"12\r\n" + STORY


def test_a_type_that_tells_nothing_leaves_it_to_the_body():
    assert all(map(may_be_html, ["html", "*/*", "unknown/unknown", "application/octet-stream"]))
    assert not any(map(may_be_html, ["text/plain", "application/json", "image/png"]))
    assert is_html("TEXT/HTML;charset=x") and not is_html("text/plain")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_page_in_utf_16_without_a_mark_is_read(tmp_path, encoding):
    page = PAGE.format(i=7, day=3).encode(encoding)
    (tmp_path / "a.html.url").write_text(URL)
    found = read_bytes(tmp_path, "a.html", page)
    assert "\0" not in found[0].fields["text"] and found[0].fields["text"]


@pytest.mark.parametrize("delimiter", ["^", "~", "\x01", ":"])
def test_rare_delimiters_are_found(tmp_path, delimiter):
    url = URL.removeprefix("https://")
    table = f"url{delimiter}text\n{url}{delimiter}{TEXT}\n"
    assert read(tmp_path, "a.csv", table) == ([TEXT], [])


@pytest.mark.parametrize("name", ["a", "a.txt", "a.psv", "a.tab", "a.data"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_needs_no_name(tmp_path, name, encoding):
    table = f"url\ttext\n{URL}\t{TEXT}\n".encode(encoding)
    assert read(tmp_path, name, table) == ([TEXT], [])


@pytest.mark.parametrize("text", ["Notes, and more.\nNothing here\n", "one line, alone", "a,b\n"])
def test_prose_is_no_table(tmp_path, text):
    _, ((reason, detail),) = read(tmp_path, "a.txt", text)
    assert reason == "unknown_format" and "format=csv" in detail


def test_quotes_behind_a_backslash_are_read_as_spark_writes_them(tmp_path):
    table = f'url,text\n{URL},"He said \\"no\\", and left. {TEXT}"\n'
    assert read(tmp_path, "a.csv", table) == ([f'He said "no", and left. {TEXT}'], [])


def test_a_backslash_before_the_end_of_a_value_is_itself(tmp_path):
    table = f'url,text\n{URL},"He said ""no"" in C:\\"\n'
    assert read(tmp_path, "a.csv", table) == (['He said "no" in C:\\'], [])


@pytest.mark.parametrize("quoted", ["It''s no, he said.\nBye.", "It\\'s no, he said.\nBye."])
def test_single_quotes_are_quotes_where_every_name_stands_in_them(tmp_path, quoted):
    table = f"'url';'text'\r\n'{URL}';'{quoted}'\r\n{URL};'{TEXT} \"'\r\n"
    expected = ["It's no, he said.\nBye.", f'{TEXT} "']
    assert read(tmp_path, "a.csv", table) == (expected, [])
    # And are none where a name without them is asked for, as before.
    plain = f"url,text\n{URL},'{TEXT}'\n"
    assert read(tmp_path, "a.csv", plain) == ([f"'{TEXT}'"], [])
    names = {"text": "'text'", "url": "'url'"}
    rows = raws(read_bytes(tmp_path, "a.csv", b"'url','text'\nu,'x'\n", fields=names))
    assert rows == [{"url": "u", "text": "'x'"}]


@pytest.mark.parametrize("delimiter", ["\t", "|", ","])
def test_quotes_are_signs_of_the_text_where_a_file_quotes_nothing(tmp_path, delimiter):
    texts = ['"We won" said the minister.', '"Unfinished', f'{TEXT} "', '"All of it is quoted."']
    rows = "".join(f"{URL}{delimiter}{text}\n" for text in texts)
    table = f"url{delimiter}text\n{rows}"
    assert read(tmp_path, "a.csv", table) == (texts, [])


@pytest.mark.parametrize(
    "row",
    [
        f'{URL}\t"He said ""no"" to it."', f'{URL}\t"One\ttwo"', f'{URL}\t"One\ntwo"',
        f'"{URL}"\t"Every value is quoted."',
    ],
)  # fmt: skip
def test_a_careless_quote_makes_no_file_one_without_quotes(tmp_path, row):
    sloppy = "\t".join([row.partition("\t")[0], '"Never" mind.'])
    found, lost = read(tmp_path, "a.tsv", f"url\ttext\n{row}\n{sloppy}\n")
    assert lost == [] and not any('"' in text for text in found if '"no"' not in text)
    assert len(found) == 2


def test_empty_values_behind_the_last_column_and_lines_above_the_header_do_no_harm(tmp_path):
    table = f"\n# made by x\nurl,text\n{URL},{TEXT},\n"
    assert read(tmp_path, "a.csv", table) == ([TEXT], [])


@pytest.mark.parametrize(
    ("table", "mend"),
    [
        (f"News of 2024\n\nurl,text\n{URL},{TEXT}\n", "tail -n +3 FILE"),
        (f"{URL},{TEXT}\n", "put one above it"),
        (f"url,text,text\n{URL},a,b\n", "called 'text': rename one"),
        (f"link,Content\n{URL},{TEXT}\n", "fields.text=Content"),
    ],
)
def test_a_header_that_cannot_be_used_has_a_remedy(tmp_path, table, mend):
    texts, ((_, detail),) = read(tmp_path, "a.csv", table)
    assert texts == [] and mend in detail


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp850", "El niño pidió más educación en España, según el alcalde."),
        ("mac_roman", "El niño pidió más educación en España, según el alcalde."),
        ("mac_roman", "Título del niño: el año pasó."),
        ("cp850", "Título del niño: el año pasó."),
        ("cp437", "L'été, le préfet a répété à Orléans que la forêt brûlait."),
        ("cp866", "Городской совет решил отремонтировать дорогу до начала дождей."),
        ("iso2022_jp", "首相は木曜日の朝、国の経済を支援するための新しい措置を発表した。"),
        ("cp1252", "L’été – « déjà ça » – le préfet a répété à Orléans que la forêt brûlait."),
    ],
)
def test_encodings_of_old_machines_are_found(tmp_path, encoding, text):
    table = "url;text\n" + f"{URL};{text}\n" * 6
    assert read(tmp_path, "a.csv", table.encode(encoding)) == ([text] * 6, [])


def test_utf_16_of_other_scripts_needs_no_mark(tmp_path):
    text = "Городской совет решил отремонтировать дорогу до начала дождей."
    table = f"url,text\n{URL},{text}\n"
    assert read(tmp_path, "a.csv", table.encode("utf-16-be")) == ([text], [])


@pytest.mark.parametrize(
    ("value", "mend"),
    [
        ({"status": "ok", "articles": RECORDS}, "jq -c '.articles[]'"),
        ({"a-b": RECORDS}, "jq -c '.\"a-b\"[]'"),
        ({"1": RECORDS[0], "2": RECORDS[1]}, "jq -c '.[]'"),
        ({"url": {"0": URL}, "text": {"0": TEXT}}, "pandas.read_json"),
        ({"columns": ["url", "text"], "index": [0], "data": [[URL, TEXT]]}, "FILE.jsonl split"),
    ],
)  # fmt: skip
def test_json_that_holds_all_records_at_once_is_refused_with_what_mends_it(tmp_path, value, mend):
    texts, ((reason, detail),) = read(tmp_path, "a.json", json.dumps(value))
    assert (texts, reason) == ([], "unknown_format") and mend in detail


def test_tabs_in_texts_and_endless_numbers_cost_no_record(tmp_path):
    lines = f'{{"url": "{URL}", "text": "a\tb"}}\n{{"text": "c", "n": {"9" * 5000}}}\n'
    assert read(tmp_path, "a.jsonl", lines) == (["a\tb", "c"], [])


@pytest.mark.parametrize(
    ("start", "mend"),
    [
        (b"FEA1" + bytes(40), "pyarrow.feather"), (b"\x80\x05" + bytes(40), "read_pickle"),
        (b"PK\3\4" + bytes(20) + b"[Content_Types].xml", "save it as CSV"),
        (b"PK\3\4" + bytes(20) + b"news.csv", "unzip it"), (b'<?xml version="1.0"?><rss>', "XML"),
        (gzip.compress(b"X\n\0\0\0\3" + bytes(40)), 'readRDS("FILE.rds")'),
        (gzip.compress(b"RDX3\nX\n\0\0\0\3" + bytes(40)), "Rscript"),
        (b"$FL2@(#) SPSS DATA FILE" + bytes(80), "pandas.read_spss"),
        (b"SQLite format 3\0", "sqlite3 -header -csv"), (b"Obj\1" + bytes(9), "read_avro"),
    ],
)  # fmt: skip
def test_other_formats_are_named_with_what_mends_them(tmp_path, start, mend):
    texts, ((reason, detail),) = read(tmp_path, "a.bin", start)
    assert (texts, reason) == ([], "unknown_format") and mend in detail


def test_a_file_of_another_format_in_a_folder_is_refused_not_passed_over(tmp_path):
    for name in ("a.jsonl", "b.jsonl.bz2", "c.xlsx", "d.wacz", "e.RData", "README.md"):
        (tmp_path / name).write_text(ONE)
    found = [file.path.rpartition("/")[2] for file in list_files(Source(path=str(tmp_path)))]
    assert found == ["a.jsonl", "b.jsonl.bz2", "c.xlsx", "d.wacz", "e.RData"]


def columns(tmp_path, suffix: str, **values):
    table = pa.table({"url": [URL], "text": [TEXT]} | values)
    if suffix == "parquet":
        pq.write_table(table, tmp_path / "t")
    else:
        with pa.ipc.new_file(tmp_path / "t", table.schema) as file:
            file.write_table(table)
    found = read_bytes(tmp_path, f"a.{suffix}", (tmp_path / "t").read_bytes())
    assert not [bad for bad in found if isinstance(bad, Bad)]
    return raws(found)[0]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (pa.array([bytes(15) + b"\1"], pa.uuid()), str(UUID(int=1))),
        (pa.array([b"\xff\0" * 8], pa.binary(16)), "ff00" * 8),
        (pa.array([b"abcd"], pa.binary(4)), "abcd"),
        (pa.array([Decimal("12.00")], pa.decimal128(9, 2)), "12"),
        (pa.array([Decimal("12.50")], pa.decimal128(9, 2)), "12.50"),
    ],
)
def test_identifiers_of_any_type_are_written_as_people_do(tmp_path, suffix, value, shown):
    assert columns(tmp_path, suffix, id=value)["id"] == shown


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize(
    "value", [pa.array([1], pa.time64("ns")), pa.array([1], pa.duration("ns"))]
)
def test_a_time_that_is_no_date_costs_no_record(tmp_path, suffix, value):
    assert columns(tmp_path, suffix, date=value)["text"] == TEXT


def test_text_of_an_extension_type_is_read(tmp_path):
    kind = pa.opaque(pa.string(), "story", "paper")
    text = pa.ExtensionArray.from_storage(kind, pa.array([TEXT]))
    assert columns(tmp_path, "arrow", text=text)["text"] == TEXT


def test_a_text_inside_a_struct_is_the_name_that_is_proposed(tmp_path):
    pq.write_table(pa.table({"doc": [{"text": TEXT, "url": URL}]}), tmp_path / "t")
    (bad,) = read_bytes(tmp_path, "a.parquet", (tmp_path / "t").read_bytes())
    assert "fields.text=doc.text" in bad.detail


def archive(tmp_path, block: bytes, kind: str = "response", name="a.warc", **fields):
    """The texts and days of an archive with one record of `block`."""
    told = {"Content-Type": "application/http", "WARC-Date": "2024-03-01T23:00:00Z"} | fields
    lines = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in told.items() if value)
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {URL}\r\n{lines}"
    data = f"{head}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"
    return raws(read_bytes(tmp_path, name, data))


@pytest.mark.parametrize(
    ("start", "kind", "fields"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
         "response", {}),
        (b"http/1.1 200 ok\r\ncontent-type: text/html\r\n\r\n", "response", {}),
        (b"HTTP/1.1 203 Other\r\nContent-Type: */*\r\n\r\n", "response", {}),
        (b"", "response", {"Content-Type": "text/html"}),
        (b"", "conversion", {"Content-Type": "text/html; charset=utf-8"}),
    ],
)  # fmt: skip
def test_pages_of_archives_that_other_tools_write(tmp_path, start, kind, fields):
    (record,) = archive(tmp_path, start + STORY, kind, **fields)
    assert record["date"] == "2024-05-03" and record["text"]


def test_text_of_an_archive_is_decoded_as_its_type_says(tmp_path):
    kind = {"Content-Type": "text/plain; charset=iso-8859-1"}
    (record,) = archive(tmp_path, "Le préfet".encode("latin-1"), "conversion", **kind)
    assert record["text"] == "Le préfet"


def test_a_day_of_an_archive_without_hyphens(tmp_path):
    kind = {"Content-Type": "text/plain", "WARC-Date": "20240301230000"}
    (record,) = archive(tmp_path, TEXT.encode(), "conversion", **kind)
    assert record["date"] == "20240301"


@pytest.mark.parametrize("pack", [bytes, zstandard.compress])
def test_an_archive_with_a_dictionary_of_its_own_is_unpacked(tmp_path, pack):
    lines = [f'{{"url": "{URL}", "text": "{TEXT} {n}"}}\n'.encode() for n in range(300)]
    words = zstandard.train_dictionary(4000, lines)
    packed = zstandard.ZstdCompressor(dict_data=words)
    frame = pack(words.as_bytes())
    data = b"\x5d\x2a\x4d\x18" + len(frame).to_bytes(4, "little") + frame
    data += b"".join(packed.compress(line) for line in lines[:3])
    assert read(tmp_path, "a.jsonl.zst", data) == ([f"{TEXT} {n}" for n in range(3)], [])


@pytest.mark.parametrize("size", [1 << 31, 5000])
def test_a_dictionary_that_is_not_there_is_damage(tmp_path, size):
    data = b"\x5d\x2a\x4d\x18" + size.to_bytes(4, "little") + bytes(100)
    texts, ((reason, detail),) = read(tmp_path, "a.jsonl.zst", data)
    assert (texts, reason) == ([], "damaged_file") and "dictionary" in detail


def test_an_arc_s_address_may_hold_a_space(tmp_path):
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + STORY
    line = b"https://a.co.ke/a b 1.2.3.4 20240301235959 text/html %d\n" % len(page)
    data = b"filedesc://x.arc 0.0.0.0 20240301000000 text/plain 2\nx\n\n" + line + page + b"\n"
    assert [record["url"] for record in raws(read_bytes(tmp_path, "a.arc", data))] != []


@pytest.mark.parametrize(
    "head",
    [
        '<script type="application/ld+json">{"mainEntityOfPage":{"@type":"WebPage",'
        f'"@id":"{URL}"}}}}</script>',
        f'<script type="application/ld+json">{{"mainEntityOfPage": "{URL}"}}</script>',
        '<base href="https://www.nation.co.ke/"><link rel="canonical" href="/1">',
    ],
)
def test_a_saved_page_names_its_address_in_other_ways(tmp_path, head):
    page = f"<html><head>{head}</head><body><p>{TEXT * 9}</p></body></html>".encode()
    assert [record["url"] for record in raws(read_bytes(tmp_path, "a.html", page))] == [URL]


def test_a_comment_of_singlefile_and_a_shortcut_beside_a_page_name_its_address(tmp_path):
    page = f"<body><p>{TEXT * 9}</p></body></html>"
    told = f"<html><!--\n Page saved with SingleFile \n url: {URL} \n-->{page}".encode()
    assert [record["url"] for record in raws(read_bytes(tmp_path, "a.html", told))] == [URL]
    (tmp_path / "b.url").write_bytes(f"[InternetShortcut]\r\nURL={URL}\r\n".encode())
    found = raws(read_bytes(tmp_path, "b.html", f"<html>{page}".encode()))
    assert [record["url"] for record in found] == [URL]


def test_a_table_with_a_space_behind_each_comma_keeps_its_quotes(tmp_path):
    rows = f'"url", "title", "text"\n"{URL}", "A, B", "He said, ""yes"", and went."\n'
    (record,) = raws(read_bytes(tmp_path, "a.csv", rows.encode()))
    assert record == {"url": URL, "title": "A, B", "text": 'He said, "yes", and went.'}
    bare = f"url,title,text\n{URL},T,  two spaces stay\n"
    (record,) = raws(read_bytes(tmp_path, "b.csv", bare.encode()))
    assert record["text"] == "  two spaces stay"


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("a.duckdb", b".\xa7w{\xe74\x0foDUCK\xe7", "a database of DuckDB is not read: python -c"),
        ("a", b"\0" * 8 + b"DUCK", "a database of DuckDB is not read: python -c"),
        ("a.dta", b"<stata_dta><header>", "a file of Stata is not read: python -c"),
        ("a.dta", b"r\2\1\0\5", "a file of Stata is not read: python -c"),
        ("a.webarchive", b"bplist00\xd1", "a web archive of Safari is not read: textutil"),
    ],
)
def test_files_of_other_programs_are_named_with_what_reads_them(tmp_path, name, head, said):
    texts, ((reason, detail),) = read(tmp_path, name, head + bytes(600))
    assert (texts, reason) == ([], "unknown_format")
    assert detail.startswith(said)
