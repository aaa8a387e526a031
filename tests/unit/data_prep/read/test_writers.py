"""Columnar files as other writers have them, and values that nobody uses."""

import base64
import datetime
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from data_prep.annotate import Annotator, OwnFields
from data_prep.config import Annotate, FieldMap
from data_prep.quarantine import FILE_REASONS
from data_prep.read import arrow_blocks, arrow_messages
from tests.unit.data_prep.read.samples import bads, raws, read, read_bytes

CASES = Path(__file__).parents[5] / "shared/data/cases"
TEXTS = ["A first text.", "é" * 40, "", None, "A last one, longer than twelve bytes."]
KEPT = [text for text in TEXTS if text is not None]


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def arrow(table, file=True):
    sink = io.BytesIO()
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def texts(found):
    return [fields["text"] for fields in raws(found) if "text" in fields]


KINDS = {
    "string": pa.array(TEXTS),
    "large_string": pa.array(TEXTS, pa.large_string()),
    "string_view": pa.array(TEXTS, pa.string_view()),
    "binary": pa.array([t and t.encode() for t in TEXTS], pa.binary()),
    "large_binary": pa.array([t and t.encode() for t in TEXTS], pa.large_binary()),
    "binary_view": pa.array([t and t.encode() for t in TEXTS], pa.binary_view()),
    "dictionary": pa.array(TEXTS).dictionary_encode(),
    "dictionary of views": pa.array(TEXTS, pa.string_view()).dictionary_encode(),
    "runs": pa.RunEndEncodedArray.from_arrays([1, 2, 3, 4, 5], pa.array(TEXTS)),
    "runs of views": pa.RunEndEncodedArray.from_arrays(
        [1, 2, 3, 4, 5], pa.array(TEXTS, pa.string_view())
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nested", [False, True])
def test_text_is_read_whatever_type_its_column_has(tmp_path, kind, nested):
    array = KINDS[kind]
    if nested:
        if kind.startswith("runs"):
            pytest.skip("pyarrow takes no field out of a struct of runs")
        array = pa.StructArray.from_arrays([array], ["text"])
        table, options = pa.table({"news": array}), {"fields": {"text": "news.text"}}
    else:
        table, options = pa.table({"text": array}), {}
    assert texts(read_bytes(tmp_path, "a.arrow", arrow(table), **options)) == KEPT
    assert texts(read_bytes(tmp_path, "b.arrow", arrow(table, file=False), **options)) == KEPT
    if kind not in ("runs", "runs of views", "dictionary of views"):  # pyarrow writes none
        assert texts(read_bytes(tmp_path, "a.parquet", parquet(table), **options)) == KEPT


def test_runs_of_a_slice_are_those_of_its_rows(tmp_path):
    array = pa.RunEndEncodedArray.from_arrays([3, 4, 9], pa.array(["a", "b", "c"]))
    table = pa.table({"text": array}).slice(2, 4)
    assert texts(read_bytes(tmp_path, "a.arrow", arrow(table))) == ["a", "b", "c", "c"]


def test_a_view_that_is_no_utf_8_costs_its_row_alone(tmp_path):
    array = pa.array([b"fine", b"\xff\xfe", b"fine as well"], pa.binary_view())
    found = read_bytes(tmp_path, "a.arrow", arrow(pa.table({"text": array})))
    assert texts(found) == ["fine", "fine as well"]
    assert bads(found) == [(2, "invalid_utf8")]


def test_views_that_all_show_one_long_text_are_no_bomb_in_memory(tmp_path):
    long, rows = b"x" * (1 << 20), 4096
    view = np.zeros((rows, 4), np.int32)
    view[:, 0] = len(long)
    view[:, 1] = int.from_bytes(b"xxxx", "little")
    array = pa.Array.from_buffers(
        pa.binary_view(), rows, [None, pa.py_buffer(view.tobytes()), pa.py_buffer(long)]
    )
    table = pa.table({"text": array})
    found = read_bytes(tmp_path, "a.arrow", arrow(table))
    assert "decompression_bomb" in {reason for _, reason in bads(found)}


def without_stream_marks(data):
    """A file as Polars may write one: its messages found by the footer alone."""
    assert data[8:12] == b"\xff" * 4
    table = pa.ipc.open_file(io.BytesIO(data))
    assert table.num_record_batches
    return data[:8] + b"\x04\0\0\0\xf2\xff\xff\xff" + data[16:]


def test_a_file_whose_bytes_are_no_stream_is_read_by_its_footer(tmp_path):
    # pyarrow reads the schema from the footer, so that the first message may be spoilt.
    for kind in ("string", "string_view", "dictionary"):
        data = without_stream_marks(arrow(pa.table({"text": KINDS[kind]})))
        assert texts(read_bytes(tmp_path, "a.arrow", data)) == KEPT
        found = read_bytes(tmp_path, "cut.arrow", data[:-20])
        assert texts(found) == [] and bads(found) == [(0, "truncated_file")]
    import gzip

    found = read_bytes(tmp_path, "a.arrow.gz", gzip.compress(data))
    assert bads(found) == [(0, "damaged_file")] and "unpack it" in found[0].detail


@pytest.mark.parametrize("write", [parquet, arrow])
def test_values_that_pandas_writes_for_missing_ones_cost_no_document(tmp_path, write):
    nan = float("nan")
    table = pa.table({
        "text": ["one", "two", "three"], "title": [nan, nan, nan], "id": [12.0, nan, 1.5e15],
        "country": pa.array([None, nan, nan]), "unused": [nan, 1e300, -0.0],
    })  # fmt: skip
    found = raws(read_bytes(tmp_path, "a.file", write(table)))
    assert found == [
        {"text": "one", "id": 12}, {"text": "two"}, {"text": "three", "id": 1500000000000000},
    ]  # fmt: skip


def test_json_with_values_that_nobody_uses(tmp_path):
    lines = [
        '{"text": "one", "title": NaN, "score": -Infinity}',
        '{"text": "two", "count": 123456789012345678901234567890}',
        '{"text": "three", "id": 123456789012345678901234567890}',
        '{"text": "four", "nested": {"deep": [NaN]}}',
        '{"text": "five", broken}',
    ]
    found = read_bytes(tmp_path, "a.jsonl", "\n".join(lines).encode())
    assert texts(found) == ["one", "two", "three", "four"]
    assert bads(found) == [(5, "broken_json")]


@pytest.mark.parametrize("name", ["a.json", "a", "a.txt"])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_array_is_read_as_its_records(tmp_path, indent, name):
    data = json.dumps([{"text": "one"}, {"text": "two"}], indent=indent).encode()
    for content in (data, b"\n  " + data, b"\xef\xbb\xbf" + data, gzip.compress(data)):
        assert texts(read_bytes(tmp_path, name, content)) == ["one", "two"]


def test_a_moment_is_the_clock_s_of_its_own_zone_in_every_format(tmp_path):
    moment = datetime.datetime(2024, 5, 2, 20, 30, tzinfo=datetime.UTC)
    shown = "2024-05-03T05:30:00+09:00"
    table = pa.table({"text": ["a"], "date": pa.array([moment], pa.timestamp("us", "Asia/Tokyo"))})
    line = json.dumps({"text": "a", "date": shown}).encode()
    (columnar,) = raws(read_bytes(tmp_path, "a.parquet", parquet(table)))
    (lines,) = raws(read_bytes(tmp_path, "a.jsonl", line))
    (rows,) = raws(read_bytes(tmp_path, "a.csv", f"text,date\na,{shown}".encode()))
    assert {fields["date"][:10] for fields in (columnar, lines, rows)} == {"2024-05-03"}


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("utc", "2024-05-02"), ("Z", "2024-05-02"), ("GMT+04:00", "2024-05-03"),
        ("+0330", "2024-05-03"), ("UTC+3", "2024-05-02"), ("-3", "2024-05-02"),
        ("Etc/GMT-4", "2024-05-03"),
    ],
)  # fmt: skip
def test_a_zone_by_another_name_costs_no_record(tmp_path, zone, day):
    moment = pa.array([datetime.datetime(2024, 5, 2, 20, 30)], pa.timestamp("us", "UTC"))
    table = pa.table({"text": ["a"], "date": moment.cast(pa.timestamp("us", zone))})
    for name, data in (("a.parquet", parquet(table)), ("a.arrow", arrow(table))):
        (found,) = raws(read_bytes(tmp_path, name, data))
        assert found["date"][:10] == day


@pytest.mark.parametrize("zone", ["Mars/Phobos", "XX", "GMT+99"])
def test_a_date_of_a_zone_that_nobody_knows_is_counted_as_one_that_cannot_be_read(tmp_path, zone):
    moments = pa.array([datetime.datetime(2024, 5, 2), None], pa.timestamp("us", "UTC"))
    odd = moments.cast(pa.timestamp("us", zone))
    table = pa.table({"url": ["https://a.ke/1"] * 2, "text": ["a", "b"], "date": odd, "seen": odd})
    fields = FieldMap(extra={"seen": "seen"})
    found = raws(read_bytes(tmp_path, "a.parquet", parquet(table), fields=fields))
    annotator, own = Annotator(Annotate()), OwnFields({"seen": "category"}, 256)
    assert [annotator.document(each, "s").date for each in found] == ["", ""]
    counts = annotator.date_counts()
    assert (counts["unread_dates"], zone in counts["unread_date"]) == (1, True)
    assert [own.of(each) for each in found] == [None, None]
    assert own.counts["seen"] == {"unusable": 1}


def moments(zone):
    made = pa.array([datetime.datetime(2024, 5, 2, 20, 30), None], pa.timestamp("us", "UTC"))
    return made.cast(pa.timestamp("us", zone))


def in_lists(values):
    return pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), values)


def by_numbers(values):
    return pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), values)


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (pa.StructArray.from_arrays([moments("Mars/Phobos")], ["$date"]), "Mars/Phobos"),
        (in_lists(moments("Mars/Phobos")), "Mars/Phobos"),
        (by_numbers(moments("Mars/Phobos")), "of the unknown zone 'Mars/Phobos'"),
        (pa.array([1234567, None], pa.duration("ns")), "of type duration[ns]"),
        (in_lists(pa.array([2**61, None], pa.timestamp("s"))), "timestamp[s]"),
        (in_lists(pa.array([2**30, None], pa.date32())), "date32"),
    ],
)
def test_what_is_no_date_is_counted_as_one_that_cannot_be_read(tmp_path, column, shown):
    table = pa.table({"url": ["https://a.ke/1"] * 2, "text": ["a", "b"], "date": column})
    annotator = Annotator(Annotate())
    found = raws(read_bytes(tmp_path, "a.arrow", arrow(table)))
    assert [annotator.document(each, "s").date for each in found] == ["", ""]
    counts = annotator.date_counts()
    assert (counts["unread_dates"], shown in counts["unread_date"]) == (1, True), counts


def test_moments_by_their_numbers_are_those_of_their_zone_s_clock(tmp_path):
    column = by_numbers(moments("GMT+04:00"))
    table = pa.table({"text": ["a", "b"], "date": column, "seen": column})
    fields = FieldMap(extra={"seen": "seen"})
    one, other = raws(read_bytes(tmp_path, "a.arrow", arrow(table), fields=fields))
    assert (one["date"][:10], one["extra.seen"][:10]) == ("2024-05-03", "2024-05-03")
    assert other.keys() == {"text"}


def test_days_in_milliseconds_may_hold_a_time_of_day(tmp_path):
    milliseconds = pa.array([1714681800123, None, 2**62], pa.int64())
    table = pa.table({"text": ["a", "b", "c"], "date": milliseconds.view(pa.date64())})
    found = raws(read_bytes(tmp_path, "a.arrow", arrow(table)))
    assert [fields["text"] for fields in found] == ["a", "b", "c"]
    assert found[0]["date"][:10] == "2024-05-02" and "date" not in found[1]


@pytest.mark.parametrize(
    ("header", "near"),
    [
        ("URL;Title;Texts;Country", "give fields.text=Texts"),
        ("url,headline,content", "give fields.text=content"),
        ("url|Body|date", "give fields.text=Body"),
        ("a,b", "among 'a', 'b': give fields.text=NAME"),
    ],
)
def test_a_header_without_text_names_the_nearest_column(tmp_path, header, near):
    found = read_bytes(tmp_path, "a.csv", f"{header}\nx\n".encode())
    assert bads(found) == [(0, "missing_text")] and near in found[0].detail
    names = header.replace(";", ",").replace("|", ",").split(",")
    table = pa.table({name: ["x"] for name in names})
    found = read_bytes(tmp_path, "a.parquet", parquet(table))
    assert bads(found) == [(0, "missing_text")] and near in found[0].detail


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
@pytest.mark.parametrize(
    ("name", "rows"),
    [("string_view.parquet", 3), ("polars_default.arrow", 14), ("title_nan.parquet", 3),
     ("float_id.parquet", 3), ("date_with_zone.parquet", 3)],
)  # fmt: skip
def test_the_shared_files_are_read_whole(tmp_path, name, rows):
    found = read_bytes(tmp_path, name, (CASES / name).read_bytes())
    assert len(raws(found)) == rows and bads(found) == []


@pytest.mark.parametrize("package", ["polars", "duckdb"])
def test_files_of_other_engines(tmp_path, package):
    engine = pytest.importorskip(package, reason="an engine that the tests do not install")
    rows = {"text": KEPT, "date": ["2024-05-02"] * len(KEPT)}
    places = []
    if package == "polars":
        frame = engine.DataFrame(rows)
        for compression in ("uncompressed", "zstd", "lz4"):
            places.append(tmp_path / f"{compression}.arrow")
            frame.write_ipc(places[-1], compression=compression)
            places.append(tmp_path / f"{compression}.stream.arrow")
            frame.write_ipc_stream(places[-1], compression=compression)
        places.append(tmp_path / "a.parquet")
        frame.write_parquet(places[-1])
    else:
        relation = engine.from_arrow(pa.table(rows))
        for codec in ("snappy", "zstd", "uncompressed"):
            places.append(tmp_path / f"{codec}.parquet")
            relation.write_parquet(str(places[-1]), compression=codec)
    for place in places:
        assert texts(read_bytes(tmp_path, place.name, place.read_bytes())) == KEPT, place


@pytest.mark.parametrize("stream", [True, False])
def test_a_batch_that_is_too_large_is_a_lost_file_with_what_mends_it(tmp_path, monkeypatch, stream):
    for module in (arrow_blocks, arrow_messages):
        monkeypatch.setattr(module, "MAX_BATCH_BYTES", 1 << 10)
    table = pa.table({"url": ["https://a.ke/1"] * 99, "text": ["Rain fell on the town."] * 99})
    data = arrow(table)
    (bad,) = read_bytes(tmp_path, "a.arrow", data if stream else without_stream_marks(data))
    assert bad.reason in FILE_REASONS and "in batches of fewer rows" in bad.detail


@pytest.mark.parametrize("name", ["int128.arrow", "int128.parquet"])
def test_types_that_arrow_lacks_are_named_with_what_mends_them(name):
    # Written by Polars 2.1.0.
    path = Path(__file__).parents[3] / "fixtures" / "polars" / name
    ((bad,), _) = read(path)
    assert bad.reason == "unknown_format"
    assert bad.detail.endswith("write it without the columns of that type, or with them as text")


def varint(number):
    """A number above 63 as Thrift's compact protocol writes it, in two bytes."""
    return bytes([2 * number & 127 | 128, 2 * number >> 7])


def test_old_writers_that_do_not_count_the_header_of_a_dictionary_are_read(tmp_path):
    """As parquet-mr up to 1.2.8 and Impala wrote it: the sizes of a chunk are too small."""
    rows = ["one text", "another"] * 400
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": rows}), sink, compression="none", store_schema=False)
    data, about = sink.getvalue(), pq.read_metadata(io.BytesIO(sink.getvalue()))
    size = about.row_group(0).column(0).total_compressed_size
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    old = "parquet-mr version 1.2.8 (build)".ljust(len(about.created_by))
    footer = data[start:].replace(varint(size), varint(size - 14))
    footer = footer.replace(about.created_by.encode(), old.encode())
    assert len(footer) == len(data) - start
    assert pq.read_metadata(io.BytesIO(data[:start] + footer)).created_by == old
    assert texts(read_bytes(tmp_path, "a.parquet", data[:start] + footer)) == rows


class Keys(pe.KmsClient):
    """Keeps keys as they are."""

    def wrap_key(self, key, master):
        return base64.b64encode(key)

    def unwrap_key(self, key, master):
        return base64.b64decode(key)


@pytest.mark.parametrize("whole", [True, False])
def test_an_encrypted_file_or_column_is_named_as_one(tmp_path, whole):
    table = pa.table({"text": ["A secret text."], "title": ["A title"]})
    properties = pe.CryptoFactory(lambda _: Keys()).file_encryption_properties(
        pe.KmsConnectionConfig(),
        pe.EncryptionConfiguration("k", column_keys={"k": ["text"]}, plaintext_footer=not whole),
    )
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    (bad,) = read_bytes(tmp_path, "a.parquet", sink.getvalue())
    assert bad.reason == "unknown_format" and "encrypted" in bad.detail
    assert bad.detail.endswith("write it without encryption")
    if not whole:
        found = read_bytes(tmp_path, "a.parquet", sink.getvalue(), fields={"text": "title"})
        assert texts(found) == ["A title"]


def test_an_arrow_file_that_ends_between_its_batches_is_cut(tmp_path):
    out, schema = io.BytesIO(), pa.schema([("text", pa.string())])
    with pa.ipc.new_file(out, schema) as file:
        for text in "ab":
            file.write_batch(pa.record_batch([[text]], schema=schema))
        size = out.tell()
        file.write_batch(pa.record_batch([["c"]], schema=schema))
    found = read_bytes(tmp_path, "a.arrow", out.getvalue()[:size])
    assert raws(found) == [{"text": "a"}, {"text": "b"}]
    assert bads(found) == [(3, "truncated_file")]


def test_a_row_group_of_fewer_rows_than_its_footer_says_is_damaged(tmp_path):
    out = io.BytesIO()
    table = pa.table({"text": [f"Rain {n}" for n in range(50)]})
    pq.write_table(table, out, use_dictionary=False, write_statistics=False, store_schema=False)
    data = out.getvalue()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    # 50 is written as 100, 60 as 120.
    said = data[:footer] + data[footer:-8].replace(b"\x64", b"\x78") + data[-8:]
    found = read_bytes(tmp_path, "a.parquet", said)
    assert len(raws(found)) == 50 and bads(found) == [(51, "damaged_file")]
