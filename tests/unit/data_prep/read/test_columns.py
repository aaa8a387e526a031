"""Schemas that change between shards: the same records whatever the types, a reason where not."""

import datetime
import decimal

import pyarrow as pa
import pytest

from data_prep.config import Limits
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.read.samples import RECORDS, arrow, bads, parquet, raws, read, read_bytes

MAKERS = {"a.parquet": parquet, "a.arrow": arrow}
both = pytest.mark.parametrize("name", MAKERS)


def rows(tmp_path, name, table, limits=None, **fields):
    return read_bytes(tmp_path, name, MAKERS[name](table), limits, fields=fields)


@both
@pytest.mark.parametrize(
    "kind",
    [
        pa.string(), pa.large_string(), pa.binary(), pa.large_binary(),
        pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string()),
    ],
    ids=str,
)  # fmt: skip
def test_text_of_any_type_gives_the_same_records(tmp_path, name, kind):
    table = pa.Table.from_pylist(RECORDS)
    table = pa.table({column: table[column].cast(kind) for column in table.column_names})
    assert raws(rows(tmp_path, name, table)) == RECORDS


@both
def test_shards_whose_schemas_differ_are_read_in_one_run(tmp_path, name):
    make = MAKERS[name]
    other = name.partition(".")[2]
    (tmp_path / f"1.{other}").write_bytes(make())
    (tmp_path / f"2.{other}").write_bytes(make(samples.odd_types()))
    few = pa.Table.from_pylist(RECORDS).select(["date", "text"])
    (tmp_path / f"3.{other}").write_bytes(make(few))
    (tmp_path / f"4.{other}").write_bytes(make(few.rename_columns(["date", "body"])))
    found = [read(tmp_path / f"{n}.{other}")[0] for n in (1, 2, 3, 4)]
    assert raws(found[0]) == raws(found[1]) == RECORDS
    assert raws(found[2]) == [{"text": r["text"], "date": r["date"]} for r in RECORDS]
    assert bads(found[3]) == [(0, "missing_text")]
    assert "'date', 'body'" in found[3][0].detail


@both
def test_nulls_are_absent_and_other_values_keep_their_type(tmp_path, name):
    table = pa.table(
        {
            "text": pa.array(["a", None, "c"]),
            "id": pa.array([7, None, 2**40]),
            "quality": pa.array([1.5, None, 2.0]),
            "title": pa.array([decimal.Decimal("1.50"), None, None]),
            "date": pa.array([datetime.datetime(2024, 5, 31, 23, 59, 1)] * 3),
            "url": pa.nulls(3),
            "country": pa.array([["gb"], None, []]),
        }
    )
    day = "2024-05-31 23:59:01.000000"
    assert raws(rows(tmp_path, name, table, quality="quality")) == [
        {"text": "a", "id": 7, "quality": 1.5, "title": "1.50", "date": day, "country": ["gb"]},
        {"date": day},
        {"text": "c", "id": 2**40, "quality": 2.0, "date": day, "country": []},
    ]


@both
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_points_in_time_become_iso_days_of_their_zone(tmp_path, name, unit):
    seconds = [1717199999, 253402300799 if unit != "ns" else 0]
    for zone, day in ((None, "05-31"), ("UTC", "05-31"), ("Europe/London", "06-01")):
        when = pa.array(seconds).cast(pa.timestamp("s")).cast(pa.timestamp(unit, tz=zone))
        found = raws(rows(tmp_path, name, pa.table({"text": ["a", "b"], "date": when})))
        assert [fields["date"][:10] for fields in found] == [
            f"2024-{day}", "9999-12-31" if unit != "ns" else "1970-01-01",
        ]  # fmt: skip


@both
@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array([["a"], ["b"]]), pa.array([{"a": "b"}] * 2)], ids=str
)
def test_text_that_is_no_text_is_one_reason_for_the_file(tmp_path, name, column):
    assert bads(rows(tmp_path, name, pa.table({"text": column}))) == [(0, "wrong_type")]


@both
def test_two_columns_of_one_name_are_one_reason_for_the_file(tmp_path, name):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    assert bads(rows(tmp_path, name, table)) == [(0, "broken_header")]


@both
@pytest.mark.parametrize("encode", [False, True], ids=["plain", "dictionary"])
def test_rows_that_are_no_utf_8_are_set_aside_alone(tmp_path, name, encode):
    values = pa.array([b"a", b"\xff\xfe", b"c", b"\xed\xa0\x80", b"e"])
    text = pa.Array.from_buffers(pa.string(), 5, values.buffers())
    if encode:
        text = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 3, 4], pa.int8()), text)
    found = rows(tmp_path, name, pa.table({"text": text, "id": ["1", "2", "3", "4", "5"]}))
    if encode and name == "a.parquet":
        # pyarrow checks such a dictionary as a whole, and gives none of its row group.
        assert bads(found) == [(1, "damaged_file"), (4, "damaged_file")]
        return
    assert [fields["id"] for fields in raws(found)] == ["1", "3", "5"]
    assert bads(found) == [(2, "invalid_utf8"), (4, "invalid_utf8")]


@both
@pytest.mark.parametrize("encode", [False, True], ids=["plain", "dictionary"])
def test_rows_over_the_limit_are_set_aside_alone(tmp_path, name, encode):
    text = pa.array(["a", "x" * 1500, "c", "y" * 900])
    table = pa.table(
        {"text": text.dictionary_encode() if encode else text, "title": ["t", "t", "t", "z" * 200]}
    )
    found = rows(tmp_path, name, table, Limits(record_bytes=1024))
    assert raws(found) == [{"text": "a", "title": "t"}, {"text": "c", "title": "t"}]
    assert bads(found) == [(2, "record_too_long"), (4, "record_too_long")]


@both
def test_only_the_columns_of_the_map_are_read(tmp_path, name):
    table = pa.table({"text": ["a"], "picture": [b"\0" * 5_000_000], "meta": [{"u": "v", "w": 1}]})
    path = tmp_path / name
    path.write_bytes(MAKERS[name](table, compression=None))
    found, reader = read(path, Limits(record_bytes=1024), fields={"url": "meta.u"})
    assert raws(found) == [{"text": "a", "url": "v"}]
    if name == "a.parquet":
        assert reader.text_bytes == 2


@both
def test_no_rows_are_an_empty_file_or_nothing(tmp_path, name):
    found = rows(tmp_path, name, pa.table({"text": pa.array([], pa.string())}))
    assert raws(found) == []
    assert bads(found) in ([], [(0, "empty_file")])


def test_slices_and_nulls_in_structs_keep_their_rows(tmp_path):
    records = [{"m": None if i % 3 == 0 else {"t": f"text {i}"}, "id": str(i)} for i in range(1000)]
    table = pa.Table.from_pylist(records, schema=pa.schema(
        [("m", pa.struct([("t", pa.string())])), ("id", pa.string())]))  # fmt: skip
    expected = [{"id": r["id"]} | ({"text": r["m"]["t"]} if r["m"] else {}) for r in records]
    for name, make in MAKERS.items():
        options = {"row_group_size": 700} if make is parquet else {"rows": 700}
        found = read_bytes(tmp_path, name, make(table, **options), fields={"text": "m.t"})
        assert [dict(sorted(r.items())) for r in raws(found)] == [
            dict(sorted(r.items())) for r in expected
        ]
        assert [item.number for item in found] == list(range(1, 1001))
