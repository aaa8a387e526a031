"""Reading lines: compression, limits and damage, with what came before the damage kept."""

import gzip
import random
import subprocess
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.config import Limits
from data_prep.read.lines import split_lines
from data_prep.read.record import DamagedError
from data_prep.read.storage import LocalFile
from data_prep.read.unpack import Unpacked
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
    """(lines, what is wrong with the file or None)."""
    lines = []
    try:
        blocks = Unpacked(LocalFile(str(path)), Limits(expansion=1 << 62)).blocks()
        lines.extend(split_lines(blocks, limit))
    except DamagedError as damage:
        return lines, damage
    return lines, None


@pytest.mark.parametrize("how", WRITERS)
def test_lines_and_numbers_whatever_the_compression(tmp_path, how):
    path = tmp_path / "a.jsonl"
    path.write_bytes(WRITERS[how](b"first\n\nthird\r\nlast"))
    lines, damage = read(path)
    assert lines == [(1, b"first", 0), (2, b"", 0), (3, b"third\r", 0), (4, b"last", 0)]
    assert damage is None


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
    lines, damage = read(path, limit=1 << 20)
    assert lines == [(number, line, 0) for number, line in enumerate(expected, start=1)]
    assert damage is None


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("length", [LIMIT + 1, 3_000_000])
def test_a_line_over_the_limit_is_skipped_and_the_next_is_read(tmp_path, how, length):
    path = tmp_path / "a"
    path.write_bytes(WRITERS[how](b"a\n" + b"x" * length + b"\nb\n" + b"y" * length))
    lines, damage = read(path)
    start = (b"x" * 1024, b"y" * 1024)
    assert lines == [(1, b"a", 0), (2, start[0], length), (3, b"b", 0), (4, start[1], length)]
    assert damage is None


def test_a_line_of_100_mb_never_stands_in_memory_whole(tmp_path):
    path = tmp_path / "bomb.zst"
    compressor = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        for _ in range(100):
            file.write(compressor.compress(b"a" * 1_000_000))
        file.write(compressor.compress(b"\nafter") + compressor.flush())
    # The peak of a process never falls, so it is asked of a process of its own.
    code = (
        "import resource, sys\n"
        "from tests.unit.data_prep.read.test_lines import read\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); lines, _ = read(sys.argv[1], 10**6)\n"
        "print(lines[0][2], lines[1][1].decode(), (peak() - before) // 1024)"
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
    lines, damage = read(path, limit=10_000)
    assert len(lines) > 100
    assert [data for _, data, _ in lines] == expected[: len(lines)]
    assert (damage.reason, damage.detail) == ("truncated_file", "the compressed data end too early")


def test_garbage_after_a_gzip_member_is_damage(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"good\n") + b"garbage")
    lines, damage = read(path)
    assert lines == [(1, b"good", 0)]
    assert damage.reason == "damaged_file"


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbf{}\n\xef\xbb\xbf")
    assert read(path) == ([(1, b"{}", 0), (2, b"\xef\xbb\xbf", 0)], None)


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none: No such file"):
        read(tmp_path / "none")


def test_a_long_window_of_zstd_is_refused_with_what_mends_it(tmp_path):
    options = zstandard.ZstdCompressionParameters(window_log=28)
    packer = zstandard.ZstdCompressor(compression_params=options).compressobj()
    path = tmp_path / "a.zst"
    path.write_bytes(packer.compress(b"{}\n" * 99) + packer.flush())
    with pytest.raises(DamagedError, match=r"window over 128 MiB: zstd -d --long=31"):
        list(Unpacked(LocalFile(str(path)), Limits()).blocks())
