"""The lock of an output folder, between real processes."""

import subprocess
import sys
import threading

import pytest

from geo_nemo.common.lock import folder_lock
from geo_nemo.config import UserError

HOLD = """
import sys
from pathlib import Path
from geo_nemo.config import UserError
from geo_nemo.common.lock import folder_lock
try:
    with folder_lock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except UserError as error:
    print(error, flush=True)
    sys.exit(2)
"""


def holder(folder):
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    folder = tmp_path / "new" / "out"
    process = holder(folder)
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_and_told_why(held):
    folder, _ = held
    second = holder(folder)
    line, _ = second.communicate(timeout=20)
    assert second.returncode == 2
    assert line == (
        f"another process is writing in {folder}: wait for it, or give another folder\n"
    )


def test_with_patience_it_is_taken_when_the_other_lets_go(held):
    """As an NFS server lets go of a dead node's."""
    folder, process = held
    with pytest.raises(UserError, match="another process is writing"), folder_lock(folder, 0.1):
        pass
    threading.Timer(0.1, process.kill).start()
    with folder_lock(folder, 20):
        pass


def test_another_folder_is_free(held, tmp_path):
    with folder_lock(tmp_path / "another"):
        pass


def test_the_lock_ends_with_a_killed_process(held):
    folder, process = held
    with pytest.raises(UserError, match="another process is writing"), folder_lock(folder):
        pass
    process.kill()
    process.wait(timeout=20)
    with folder_lock(folder):
        pass


def test_the_lock_ends_with_its_block_and_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), folder_lock(tmp_path):
        _ = 1 // 0
    with folder_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot write .*file"),
        folder_lock(tmp_path / "file" / "o"),
    ):
        pass
