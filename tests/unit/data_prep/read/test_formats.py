"""Every format gives the same records, by its first bytes rather than by its name."""

import gzip

import pytest
import xxhash
import zstandard

from data_prep.config import FieldMap, Limits, Source
from data_prep.read import Bad, list_files, open_reader
from data_prep.read.record import Raw
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.read.samples import RECORDS, bads, raws, read, read_bytes

SAME = [name for name in samples.every_format() if "warc" not in name]


@pytest.mark.parametrize("name", SAME)
def test_records_numbers_and_digest_of_every_format(tmp_path, name):
    data = samples.every_format()[name]
    path = tmp_path / name
    path.write_bytes(data)
    found, reader = read(path)
    assert raws(found) == RECORDS
    assert [item.number for item in found] == list(range(1, 10))
    assert reader.bytes_read == len(data)
    assert reader.digest == xxhash.xxh3_128_hexdigest(data)
    assert reader.text_bytes > 100


@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.parquet", "stream.arrow", "a.tar.gz"])
def test_bytes_tell_the_format_whatever_the_name(tmp_path, name):
    for other in ("part-00000", "data.csv" if name != "a.jsonl.zst" else "data", "x.bin"):
        assert raws(read_bytes(tmp_path, other, samples.every_format()[name])) == RECORDS


def test_a_name_tells_csv_from_jsonl(tmp_path):
    assert raws(read_bytes(tmp_path, "a.csv", b'{"id",text\n1,2\n')) == [{"text": "2"}]
    assert raws(read_bytes(tmp_path, "a", b"id,text\n1,2\n")) == [{"id": "1", "text": "2"}]
    assert bads(read_bytes(tmp_path, "a", b"id,text\n")) == [(0, "unknown_format")]
    assert raws(read_bytes(tmp_path, "b", b"text\n1\n", format="csv")) == [{"text": "1"}]


def test_one_pattern_over_files_of_mixed_formats(tmp_path):
    for name, data in samples.every_format().items():
        (tmp_path / name).write_bytes(data)
    files = list_files(Source(path=str(tmp_path / "*")))
    found = {f.path: list(open_reader(f, Limits())) for f in files}
    assert len(found) == len(samples.every_format())
    assert not [item for items in found.values() for item in items if isinstance(item, Bad)]


def test_a_field_map_reaches_into_objects_of_every_format(tmp_path):
    fields = FieldMap(id=None, url="meta.link", title=None, text="meta.body.plain", date="when")
    records = [{"meta": {"link": "https://a.example/", "body": {"plain": "é"}}, "when": "2024"}]
    table = samples.pa.Table.from_pylist(records)
    files = {
        "a.jsonl": samples.jsonl(records),
        "a.parquet": samples.parquet(table),
        "a.arrow": samples.arrow(table),
        "a.tar": samples.tar([("k.json", samples.jsonl(records))]),
        "a.csv": "meta.link,meta.body.plain,when\nhttps://a.example/,é,2024\n".encode(),
    }
    expected = {"url": "https://a.example/", "text": "é", "date": "2024"}
    for name, data in files.items():
        (found,) = raws(read_bytes(tmp_path, name, data, fields=fields))
        assert {k: v for k, v in found.items() if k != "id"} == expected, name


def test_a_name_with_dots_is_first_looked_for_as_it_is(tmp_path):
    line = b'{"text": "t", "a.b": 1, "a": {"b": 2}}\n{"text": "t", "a": {"b": 2}, "id": "no"}\n'
    found = read_bytes(tmp_path, "a.jsonl", line, fields=FieldMap(id="a.b"))
    assert raws(found) == [{"text": "t", "id": 1}, {"text": "t", "id": 2}]


def test_fields_without_a_name_in_the_map_are_not_taken(tmp_path):
    line = b'{"text": "t", "language": "en", "quality": 3, "other": 1, "title": null}\n'
    assert raws(read_bytes(tmp_path, "a.jsonl", line)) == [{"text": "t"}]


def test_an_excerpt_shows_the_start_of_a_record(tmp_path):
    (raw,), _ = read(_write(tmp_path / "a.jsonl", b'{"text": "' + b"x" * 999 + b'"}'))
    assert raw.excerpt == b'{"text": "' + b"x" * 290
    table = samples.pa.table({"text": ["x" * 999]})
    (raw,), _ = read(_write(tmp_path / "a.parquet", samples.parquet(table)))
    assert raw.excerpt == b'{"text":"' + b"x" * 291


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize("form", ["jsonl", "comma", "parquet", "arrow", "webdataset"])
def test_a_document_of_10_mb_passes_whole_or_is_set_aside_by_the_limit(tmp_path, form, compress):
    if compress is not bytes and form in ("parquet", "arrow"):
        pytest.skip("read uncompressed only")
    text = "ten letters " * 830_000
    records = [{"id": "1", "text": "a"}, {"id": "2", "text": text}, {"id": "3", "text": "b"}]
    table = samples.pa.Table.from_pylist(records)
    make = getattr(samples, form)
    data = compress(make(table) if form in ("parquet", "arrow") else make(records))
    name = {"comma": "a.csv"}.get(form, "a")
    assert raws(read_bytes(tmp_path, name, data, Limits(record_bytes=12_000_000))) == records
    found = read_bytes(tmp_path, name, data, Limits(record_bytes=9_000_000))
    assert raws(found) == [records[0], records[2]]
    assert bads(found) == [(2, "record_too_long")]


def _write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("value", [10**20, "\ud800"])
def test_an_excerpt_shows_what_is_no_json_of_64_bits(value):
    assert Raw(1, {"id": value, "title": "Rain"}).excerpt.endswith(b"'title': 'Rain'}")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["ORCID", "PAR1", "BZh", "Rar!", "<stata_dta>"])
def test_a_table_whose_first_column_begins_as_another_format_is_a_table(tmp_path, name, pack):
    table = f"{name},url,text\n1,https://a.ke/1,Rain fell on the town.\n".encode()
    assert raws(read_bytes(tmp_path, "a.csv", pack(table)))[0]["text"] == "Rain fell on the town."


def test_a_text_that_begins_with_the_mark_of_a_database_is_a_text(tmp_path):
    line = b'{"txt":"DUCK AND COVER","url":"https://a.ke/1","text":"Rain fell."}'
    assert raws(read_bytes(tmp_path, "a.jsonl", line))[0]["text"] == "Rain fell."


def test_many_comments_at_the_start_of_a_file_take_no_time(tmp_path):
    assert bads(read_bytes(tmp_path, "a", b"<!---->" * 100)) == [(0, "unknown_format")]
