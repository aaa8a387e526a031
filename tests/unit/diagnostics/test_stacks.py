"""Which rank hung, of stacks that real watchdogs left."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from geo_nemo.diagnostics.stacks import hang
from geo_nemo.diagnostics.status import read_status
from geo_nemo.runtime.watchdog import EXIT_HUNG
from tests.unit.diagnostics.run_folders import Folder

HANGS = """
import sys, threading
from pathlib import Path
from geo_nemo.runtime.watchdog import Watchdog

def all_reduce():
    threading.Event().wait()

def read_shard():
    threading.Event().wait()

rank = int(sys.argv[2])
dog = Watchdog(0.3, Path(sys.argv[1]) / f"rank_{rank:05d}.txt", f"rank {rank}", grace_s=0.1)
dog.start()
globals()[sys.argv[3]]()
"""


@pytest.fixture(scope="module")
def hung(tmp_path_factory):
    """Three ranks wait for rank 2, which reads."""
    run = Folder(tmp_path_factory.mktemp("hung")).record().beat(2, age=9, host="n1")
    stacks = run.path / "stacks"
    for rank in range(4):
        words = [str(stacks), str(rank), "read_shard" if rank == 2 else "all_reduce"]
        done = subprocess.run([sys.executable, "-c", HANGS, *words], capture_output=True)
        assert done.returncode == EXIT_HUNG
    return run


def test_the_rank_that_stands_elsewhere_is_the_one_that_is_told(hung):
    failure = read_status(hung.path).last_error
    assert failure.source == "stacks/rank_00002.txt"
    assert failure.line.startswith(
        "rank 2 stood in read_shard (<string>:10), ranks 0, 1, 3 in all_reduce (<string>:7); rank "
        "2 made no progress for "
    )


def test_it_is_told_whatever_rank_0_and_the_job_say_of_the_hang_after_that(hung, tmp_path):
    hung = Folder(shutil.copytree(hung.path, tmp_path / "run"))
    said = "rank 0 made no progress for 1801 s"
    hung.end("failed", said, age=-1)
    start = hung.start(5, 0, "hung; the stacks are in there", age=-2)
    assert read_status(hung.path).last_error.source == "stacks/rank_00002.txt"
    (start / "rank_00000.exit").write_text(f"1 {time.time_ns() + 10**10} n1\n")
    (start / "rank_00000.err").write_text(f"geo-nemo: {said}\n")
    assert read_status(hung.path).last_error.source == "stacks/rank_00002.txt"
    # What went wrong after that is another thing.
    (start / "rank_00000.err").write_text("ValueError: no\n")
    assert read_status(hung.path).last_error.line == "rank_00000: ValueError: no"


def test_where_all_stand_alike_it_is_one_that_left_no_stack(hung, tmp_path):
    for rank in (0, 1, 3):
        text = (hung.path / "stacks" / f"rank_{rank:05d}.txt").read_text()
        (tmp_path / f"rank_{rank:05d}.txt").write_text(text)
    assert hang(tmp_path).line.startswith("rank 0 made no progress for ")
    for rank in range(4, 9):
        (tmp_path / f"rank_{rank:05d}.txt").touch()
        os.utime(tmp_path / f"rank_{rank:05d}.txt", (1, 1))
    assert hang(tmp_path).line.startswith("ranks 4, 5, 6 and 2 more left no stack; rank 0 made no")


def test_stacks_of_an_earlier_start_with_more_ranks_are_none_of_this_one(hung, tmp_path):
    (tmp_path / "rank_00000.txt").touch()
    stale = tmp_path / "rank_00007.txt"
    stale.write_text((hung.path / "stacks" / "rank_00000.txt").read_text())
    os.utime(stale, (time.time() - 60,) * 2)
    assert hang(tmp_path) is None
    assert hang(tmp_path / "none") is None


def test_what_is_no_stack_is_no_reason_to_fail(tmp_path):
    (tmp_path / "rank_00000.txt").write_bytes(b"\xff\x00 cut off")
    (tmp_path / "rank_00001.txt").write_text("geo-nemo: rank 1 made no progress\nThread 0x1 (most")
    os.mkfifo(tmp_path / "rank_00002.txt")
    (tmp_path / "rank_x.txt").touch()
    assert "cut off" in hang(tmp_path).line
