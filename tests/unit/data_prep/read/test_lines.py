"""Reading lines: compression, limits and damage, with what came before the damage kept."""

import gzip
import random
import subprocess
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.read.lines import Damage, Line, LineReader
from geo_nemo.config import UserError

LIMIT = 5000
WRITERS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "two gzip members": lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
    "two zstd frames": lambda data: zstandard.compress(data[:7]) + zstandard.compress(data[7:]),
    "gzip padded with zeros": lambda data: gzip.compress(data) + b"\0" * 512,
}


def read(path, limit=LIMIT):
    reader = LineReader(path, limit)
    return list(reader), reader


@pytest.mark.parametrize("how", WRITERS)
def test_lines_and_numbers_whatever_the_compression(tmp_path, how):
    path = tmp_path / "a.jsonl"
    path.write_bytes(WRITERS[how](b"first\n\nthird\r\nlast"))
    lines, reader = read(path)
    assert lines == [Line(1, b"first"), Line(2, b""), Line(3, b"third\r"), Line(4, b"last")]
    assert reader.bytes_read == path.stat().st_size
    assert reader.text_bytes == len(b"first\n\nthird\r\nlast")


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 400_000), max_size=5),
    how=st.sampled_from(["plain", "gzip", "zstd"]),
)
def test_lines_longer_than_blocks_come_back_whole(tmp_path_factory, lengths, how):
    generator = random.Random(0)
    expected = [generator.randbytes(n).replace(b"\n", b" ") + b"." for n in lengths]
    path = tmp_path_factory.mktemp("lines") / "a"
    path.write_bytes(WRITERS[how](b"".join(line + b"\n" for line in expected)))
    lines, _ = read(path, limit=1 << 20)
    found = [(line.number, line.data) for line in lines if isinstance(line, Line)]
    assert found == list(enumerate(expected, start=1))


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("length", [LIMIT + 1, 3_000_000])
def test_a_line_over_the_limit_is_skipped_and_the_next_is_read(tmp_path, how, length):
    path = tmp_path / "a"
    path.write_bytes(WRITERS[how](b"a\n" + b"x" * length + b"\nb\n" + b"y" * length))
    lines, _ = read(path)
    assert [(line.number, line.too_long) for line in lines] == [
        (1, 0), (2, length), (3, 0), (4, length),
    ]  # fmt: skip
    assert lines[1].data == b"x" * 1024
    assert lines[2].data == b"b"


def test_a_line_of_100_mb_never_stands_in_memory_whole(tmp_path):
    path = tmp_path / "bomb.zst"
    compressor = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        for _ in range(100):
            file.write(compressor.compress(b"a" * 1_000_000))
        file.write(compressor.compress(b"\nafter") + compressor.flush())
    # The peak of a process never falls, so it is asked of a process of its own.
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from data_prep.read.lines import LineReader\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); lines = list(LineReader(Path(sys.argv[1]), 10**6))\n"
        "print(lines[0].too_long, lines[1].data.decode(), (peak() - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    too_long, after, grown_mib = done.stdout.split()
    assert (too_long, after) == ("100000000", "after")
    assert int(grown_mib) < 80


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_truncated_file_keeps_the_lines_before_the_cut(tmp_path, compress):
    generator = random.Random(1)
    expected = [generator.randbytes(3000).hex().encode() for _ in range(200)]
    whole = compress(b"\n".join(expected))
    path = tmp_path / "a"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    lines, _ = read(path, limit=10_000)
    *good, damage = lines
    assert len(good) > 100
    assert [line.data for line in good] == expected[: len(good)]
    assert damage == Damage(len(good) + 1, "truncated_file", "the compressed data end too early")


def test_garbage_after_a_gzip_member_is_damage(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"good\n") + b"garbage")
    lines, _ = read(path)
    assert lines[0] == Line(1, b"good")
    assert (lines[1].number, lines[1].reason) == (2, "damaged_file")


@pytest.mark.parametrize("content", [b"", gzip.compress(b""), zstandard.compress(b"")])
def test_an_empty_file_is_said_to_be_empty(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert [line.reason for line in read(path)[0]] == ["empty_file"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbf{}\n\xef\xbb\xbf")
    assert [line.data for line in read(path)[0]] == [b"{}", b"\xef\xbb\xbf"]


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none: No such file"):
        read(tmp_path / "none")
