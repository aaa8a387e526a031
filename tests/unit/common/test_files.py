"""Files are whole or absent: full disks, forbidden folders, failures in the middle."""

import errno
import gzip
import os
import re
from pathlib import Path

import pytest

from geo_nemo.common.errors import StorageError
from geo_nemo.common.files import (
    FAILED,
    discard,
    keep,
    make_folder,
    partial_file,
    read_json,
    write_together,
    write_whole,
    writing,
)
from geo_nemo.config import UserError

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_write_whole_replaces_the_content_and_leaves_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "a.json", b"one")
    write_whole(tmp_path / "a.json", b"two")
    assert (tmp_path / "a.json").read_bytes() == b"two"
    assert names(tmp_path) == ["a.json"]


@FULL
def test_a_full_disk_keeps_the_old_content_and_is_named(tmp_path):
    (tmp_path / "a.json").write_bytes(b"old")
    (tmp_path / "a.json.partial").symlink_to("/dev/full")
    line = rf"cannot write {re.escape(str(tmp_path / 'a.json'))}: No space left on device; mend"
    with pytest.raises(UserError, match=line):
        write_whole(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_a_missing_folder_is_named_without_the_partial_ending(tmp_path):
    path = tmp_path / "none" / "a.json"
    with pytest.raises(UserError, match=rf"^cannot write {re.escape(str(path))}: No such file"):
        write_whole(path, b"new")


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "taken").write_text("a file")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(UserError, match=r"cannot write .*taken"):
            make_folder(folder)


def test_an_error_without_a_file_name_names_the_path(tmp_path):
    line = rf"cannot write {re.escape(str(tmp_path))}: Bad file descriptor"
    with pytest.raises(UserError, match=line), writing(tmp_path):
        os.fsync(10**6)


def test_of_a_copy_that_fails_the_copy_is_named(tmp_path):
    error = OSError(28, "No space left on device", "/from/a", None, "/to/b")
    with pytest.raises(UserError, match=r"^cannot write /to/b: No space left"), writing(tmp_path):
        raise error


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET])
def test_a_fault_of_a_file_system_is_no_mistake_of_settings(tmp_path, number):
    """A job of SLURM starts again after it, as it does not after a full disk."""
    with pytest.raises(StorageError, match=FAILED), writing(tmp_path / "x"):
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))
    with pytest.raises(UserError) as refused, writing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not isinstance(refused.value, StorageError)


def test_a_fault_while_a_record_is_read_is_one(tmp_path, monkeypatch):
    def fails(path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(Path, "read_bytes", fails)
    with pytest.raises(StorageError, match=r"cannot read .*run.json: the file system failed"):
        read_json(tmp_path / "run.json", "train it again")


def test_other_errors_pass_through_writing(tmp_path):
    with pytest.raises(ZeroDivisionError), writing(tmp_path):
        _ = 1 // 0


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), OSError(28, "full")])
def test_a_partial_file_goes_when_its_block_fails(tmp_path, error):
    expected = UserError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), partial_file(tmp_path / "a.jsonl") as out:
        out.write(b"half")
        raise error
    assert names(tmp_path) == []


def test_a_partial_file_has_its_name_only_once_it_is_kept(tmp_path):
    with partial_file(tmp_path / "a.jsonl") as out:
        out.write(b"whole")
    assert names(tmp_path) == ["a.jsonl.partial"]
    keep(tmp_path / "a.jsonl")
    assert names(tmp_path) == ["a.jsonl"]
    assert (tmp_path / "a.jsonl").read_bytes() == b"whole"


def test_gzip_of_equal_content_is_equal_whatever_its_name(tmp_path):
    for name in ("a.gz", "b.gz"):
        with partial_file(tmp_path / name) as out:
            out.write(b"line\n" * 1000)
        keep(tmp_path / name)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"line\n" * 1000


def test_discard_needs_no_file(tmp_path):
    discard(tmp_path / "a")
    (tmp_path / "a.partial").write_text("left")
    discard(tmp_path / "a")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read .*a.json: No such file"), ("{", "a.json is not JSON"),
     ("[1]", "a.json is not a JSON object"), (b"\xff", "a.json is not JSON")],
)  # fmt: skip
def test_a_record_that_is_no_json_object_is_named_with_its_mend(tmp_path, content, words):
    if content is not None:
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "a.json").write_bytes(raw)
    with pytest.raises(UserError, match=f"{words}.*; make it again$"):
        read_json(tmp_path / "a.json", "make it again")


def test_a_record_is_read_as_it_was_written(tmp_path):
    write_whole(tmp_path / "a.json", b'{"country": "gb"}')
    assert read_json(tmp_path / "a.json", "") == {"country": "gb"}


def test_files_that_belong_together_are_all_new_or_all_as_they_were(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    write_together({one: b"1", two: b"2"})
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")
    with pytest.raises(UserError, match=r"cannot write .*gone/three: No such file"):
        write_together({one: b"new", tmp_path / "gone" / "three": b"3"})
    assert one.read_bytes() == b"1" and sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]
