"""A process that hangs ends by itself and tells where it stood."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from geo_nemo.config import UserError
from geo_nemo.runtime import watchdog
from geo_nemo.runtime.watchdog import EXIT_HUNG, Watchdog

HANGS = """
import sys, threading
from pathlib import Path
from geo_nemo.runtime.watchdog import Watchdog

def all_reduce_that_never_ends():
    threading.Event().wait()

dog = Watchdog(0.3, Path(sys.argv[1]), "rank 3", grace_s=0.1)
dog.start()
all_reduce_that_never_ends()
"""


def test_a_process_that_hangs_ends_and_leaves_its_stacks(tmp_path):
    stacks = tmp_path / "stacks" / "rank_00003.txt"
    done = subprocess.run(
        [sys.executable, "-c", HANGS, str(stacks)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == EXIT_HUNG
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("geo-nemo: rank 3 made no progress for ")
    assert str(stacks) in lines[0]
    assert "all_reduce_that_never_ends" in stacks.read_text()


def test_it_ends_also_where_the_file_system_hangs(tmp_path, monkeypatch, capfd):
    answers, ended = threading.Event(), []
    monkeypatch.setattr(watchdog, "WAITS_S", 0.1)
    monkeypatch.setattr(watchdog.os, "fsync", lambda descriptor: answers.wait())
    monkeypatch.setattr(watchdog.os, "_exit", ended.append)
    dog = Watchdog(60.0, tmp_path / "rank.txt", "rank 0", 0.0, lambda line: answers.wait())
    dog.start()
    dog._end(61.0)
    answers.set()
    dog.stop()
    assert ended == [EXIT_HUNG]
    assert capfd.readouterr().err.startswith("geo-nemo: rank 0 made no progress for 61 s")
    assert "test_it_ends_also" in (tmp_path / "rank.txt").read_text()


def test_a_process_that_is_touched_goes_on_and_leaves_no_file(tmp_path):
    stacks = tmp_path / "rank_00000.txt"
    dog = Watchdog(5.0, stacks, "rank 0")
    dog.start()
    time.sleep(0.01)
    dog.touch()
    dog.stop()
    assert not stacks.exists()


def test_stacks_of_the_hang_before_stay_where_a_job_goes_on_by_itself(tmp_path):
    stacks = tmp_path / "stacks" / "rank_00000.txt"
    for number in range(2):
        words = [sys.executable, "-c", HANGS, str(stacks)]
        assert subprocess.run(words, capture_output=True, timeout=60).returncode == EXIT_HUNG
        assert (tmp_path / "stacks" / "before_rank_00000.txt").exists() == bool(number)
    dog = Watchdog(5.0, stacks, "rank 0")
    dog.start()
    dog.stop()
    (kept,) = stacks.parent.iterdir()
    assert "all_reduce_that_never_ends" in kept.read_text()


def test_a_file_that_somebody_has_moved_ends_no_run(tmp_path):
    dog = Watchdog(5.0, tmp_path / "rank_00000.txt", "rank 0")
    dog.start()
    dog.stacks.unlink()
    dog.stop()


STOPPED = """
import sys, time
from pathlib import Path
from geo_nemo.runtime.watchdog import Watchdog

dog = Watchdog(1.0, Path(sys.argv[1]), "rank 0", grace_s=0.1)
dog.start()
print("begun", flush=True)
for _ in range(30):
    time.sleep(0.1)
    dog.touch()
dog.stop()
"""


def test_a_process_that_was_stopped_for_longer_goes_on(tmp_path):
    stacks = tmp_path / "rank_00000.txt"
    words = [sys.executable, "-c", STOPPED, str(stacks)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, b"")
    assert not stacks.exists()


def test_stacks_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "stacks").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write .*stacks"):
        Watchdog(5.0, tmp_path / "stacks" / "rank.txt", "rank 0").start()
