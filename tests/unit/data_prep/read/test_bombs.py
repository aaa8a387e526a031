"""Data made to expand: refused by ratio and size, in little memory, with what came before kept."""

import gzip
import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from data_prep.config import Limits
from data_prep.read.unpack import FREE_BYTES
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.read.samples import arrow, bads, parquet, raws, read_bytes

ROOT = Path(__file__).parents[4]
GOOD = b'{"text": "good"}\n'
READ = (
    "import json, resource, sys\n"
    "import pyarrow.parquet, pyarrow.compute, zstandard\n"
    "from data_prep.config import Limits, Source\n"
    "from data_prep.read import Raw, list_files, open_reader\n"
    "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
    "before = peak()\n"
    "(file,) = list_files(Source(path=sys.argv[1]))\n"
    "count, bad = 0, []\n"
    "for item in open_reader(file, Limits(**json.loads(sys.argv[2]))):\n"
    "    count += isinstance(item, Raw)\n"
    "    bad += [] if isinstance(item, Raw) else [(item.number, item.reason)]\n"
    "print(json.dumps([count, bad, peak() - before]))\n"
)


def read_apart(path, **limits):
    """(records, (number, reason) of the others, growth of the peak of memory in MiB)."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path), json.dumps(limits)],
        capture_output=True, text=True, check=True, cwd=ROOT, timeout=120,
    )  # fmt: skip
    count, bad, grown = json.loads(done.stdout)
    return count, [tuple(pair) for pair in bad], grown


def packed(how, count):
    """GOOD and then `count` MB of nothing but spaces, compressed."""
    data = io.BytesIO()
    if how == "gzip":
        with gzip.GzipFile(fileobj=data, mode="wb", compresslevel=6) as out:
            out.write(GOOD)
            for _ in range(count):
                out.write(b" " * 1_000_000)
    else:
        with zstandard.ZstdCompressor().stream_writer(data, closefd=False) as out:
            out.write(GOOD)
            for _ in range(count):
                out.write(b" " * 1_000_000)
    return data.getvalue()


@pytest.mark.parametrize("how", ["gzip", pytest.param("zstd", marks=pytest.mark.very_slow)])
def test_a_file_that_expands_beyond_the_ratio_is_not_read_on(tmp_path, how):
    path = tmp_path / "a"
    path.write_bytes(packed(how, 200))
    ratio = 200e6 / path.stat().st_size
    count, bad, grown = read_apart(path, expansion=int(ratio / 2))
    assert (count, bad) == (1, [(2, "decompression_bomb")])
    assert grown < 150
    # The same data within the ratio are one line that is too long.
    count, bad, grown = read_apart(path, expansion=int(ratio * 2))
    assert (count, bad) == (1, [(2, "record_too_long")])
    assert grown < 150


def test_little_data_may_expand_as_they_like(tmp_path):
    data = zstandard.compress(GOOD + b" " * (FREE_BYTES - 100) + b"\n" + GOOD)
    found = read_bytes(tmp_path, "a", data, Limits(expansion=1))
    assert raws(found) == [{"text": "good"}] * 2
    assert bads(found) == [(2, "record_too_long")]


@pytest.mark.very_slow
def test_a_packed_tar_and_warc_are_bombs_too(tmp_path):
    tar = tmp_path / "a.tar.zst"
    inside = samples.tar([("a.txt", b"good"), ("b.txt", b" " * 120_000_000), ("c.txt", b"c")])
    tar.write_bytes(zstandard.compress(inside))
    assert read_apart(tar, expansion=100)[:2] == (1, [(2, "decompression_bomb")])
    count, bad, grown = read_apart(tar, expansion=1_000_000)
    assert (count, bad) == (2, [(2, "record_too_long")])
    assert grown < 150
    warc = tmp_path / "a.warc.zst"
    large = samples.warc_record(samples.response(b" " * 120_000_000))
    warc.write_bytes(zstandard.compress(samples.warc(1) + large + samples.warc(1)))
    assert read_apart(warc, expansion=100)[:2] == (1, [(3, "decompression_bomb")])
    count, bad, grown = read_apart(warc, expansion=1_000_000)
    assert (count, bad) == (2, [(3, "record_too_long")])
    assert grown < 150


def test_a_page_packed_inside_its_response_is_bounded(tmp_path):
    body = gzip.compress(b"<p>" + b" " * 300_000_000)
    block = samples.response(body, more="Content-Encoding: gzip\r\n")
    found = read_bytes(tmp_path, "a.warc", samples.warc_record(block) + samples.warc(1))
    assert bads(found) == [(1, "no_main_text")]
    assert "more than 10000000 bytes" in found[0].detail
    assert len(raws(found)) == 1


@pytest.mark.parametrize(
    "compression", ["zstd", pytest.param("snappy", marks=pytest.mark.very_slow)]
)
def test_a_parquet_page_that_expands_is_refused_before_it_is_read(tmp_path, compression):
    table = pa.table({"text": ["a", " " * 120_000_000, "b"]})
    path = tmp_path / "a.parquet"
    path.write_bytes(
        parquet(table, compression=compression, use_dictionary=False, row_group_size=1)
    )
    count, bad, grown = read_apart(path, expansion=2)
    assert (count, bad) == (2, [(2, "decompression_bomb")])
    assert grown < 150
    count, bad, _ = read_apart(path, expansion=100_000)
    assert (count, bad) == (2, [(2, "record_too_long")])


def test_a_page_header_that_lies_is_refused(tmp_path):
    data = parquet(compression="zstd", use_dictionary=False, row_group_size=100)
    # The first page's header: type, then its two sizes as varints.
    at = 4
    assert data[at : at + 3] == b"\x15\x00\x15"
    lying = data[: at + 2] + b"\x15" + b"\xfe\xff\xff\xff\x0f" + data[at + 5 :]
    path = tmp_path / "a.parquet"
    path.write_bytes(lying)
    count, bad, grown = read_apart(path)
    assert count == 0
    assert bad[0][1] in ("decompression_bomb", "damaged_file")
    assert grown < 150


def test_a_dictionary_that_stands_for_many_large_rows_is_not_written_out(tmp_path):
    rows = 20_000
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * 1_000_000])
    table = pa.table({"text": text})
    files = {"a.parquet": parquet(table, row_group_size=rows), "a.arrow": arrow(table)}
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        count, bad, grown = read_apart(path, expansion=100)
        assert 0 < count < 1000
        assert [reason for _, reason in bad] == ["decompression_bomb"]
        assert grown < 400
    plain = pa.table({"text": ["x" * 1_000_000] * 200})
    path = tmp_path / "b.parquet"
    path.write_bytes(parquet(plain, row_group_size=200, compression="zstd"))
    count, bad, grown = read_apart(path, expansion=1000)
    assert 0 < count < 200
    assert grown < 250


def test_rows_that_take_no_bytes_do_not_go_on_for_ever(tmp_path):
    nothing = pa.table({"text": pa.nulls(1_200_000, pa.string())})
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(nothing, row_group_size=1_200_000))
    count, bad, grown = read_apart(path, expansion=1)
    assert count < 1_100_000
    assert [reason for _, reason in bad] == ["decompression_bomb"]
    assert grown < 150


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_an_arrow_batch_that_expands_is_refused_before_it_is_read(tmp_path, compression):
    table = pa.table({"text": ["a", " " * 120_000_000, "b"]})
    path = tmp_path / "a.arrow"
    path.write_bytes(arrow(table, compression=compression, rows=1))
    count, bad, grown = read_apart(path, expansion=2)
    assert (count, bad) == (1, [(2, "decompression_bomb")])
    assert grown < 150


def test_an_arrow_message_that_declares_much_is_refused(tmp_path):
    data = arrow(rows=3)
    expected = {1 << 30: "damaged_file", -5: "damaged_file", 40_000_000: "truncated_file"}
    for declared, reason in expected.items():
        changed = data[:4] + struct.pack("<i", declared) + data[8:]
        assert bads(read_bytes(tmp_path, "a.arrow", changed)) == [(0, reason)]
