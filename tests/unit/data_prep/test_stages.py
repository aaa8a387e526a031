"""Stages are whole or not there: failures, leftovers, and folders that are not ours."""

import errno

import pytest

from data_prep.stages import build_stage, stage_is_whole
from geo_nemo.common.lock import folder_lock
from geo_nemo.config import UserError


def writes(text):
    return lambda folder: (folder / "a.txt").write_text(text)


def fails(error):
    def build(folder):
        (folder / "a.txt").write_text("half")
        raise error

    return build


def test_a_finished_stage_replaces_the_one_before(tmp_path):
    folder = tmp_path / "stage"
    build_stage(folder, "key1", writes("one"))
    assert stage_is_whole(folder, "key1")
    build_stage(folder, "key2", writes("two"))
    assert stage_is_whole(folder, "key2") and not stage_is_whole(folder, "key1")
    assert (folder / "a.txt").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), UserError),
        (ValueError("a bug"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failed_stage_leaves_the_one_before(tmp_path, error, raised):
    folder = tmp_path / "stage"
    build_stage(folder, "key1", writes("one"))
    with pytest.raises(raised):
        build_stage(folder, "key2", fails(error))
    assert stage_is_whole(folder, "key1")
    assert (folder / "a.txt").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_a_full_disk_is_a_user_error_that_names_the_path(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(UserError, match=r"cannot write .*stage: No space left on device"):
        build_stage(tmp_path / "stage", "key", fails(error))


def test_leftovers_of_a_killed_run_are_cleared(tmp_path):
    for name in ("stage.partial", "stage.before.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("x")
    build_stage(tmp_path / "stage", "key", writes("one"))
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_a_folder_that_no_stage_made_is_never_replaced(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "mine.jsonl").write_text("precious")
    with pytest.raises(UserError, match="was not made by geo-nemo prep"):
        build_stage(folder, "key", writes("one"))
    assert (folder / "mine.jsonl").read_text() == "precious"


def test_an_output_below_a_file_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot write .*file"),
        folder_lock(tmp_path / "file" / "out"),
    ):
        pass


def test_a_second_run_in_the_same_output_is_refused(tmp_path):
    refused = pytest.raises(UserError, match="another process is writing in")
    with folder_lock(tmp_path), refused, folder_lock(tmp_path):
        pass
    with folder_lock(tmp_path):
        pass
