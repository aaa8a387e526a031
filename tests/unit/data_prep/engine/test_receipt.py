"""A task's folder is whole or not there, and its receipt says what it holds."""

import pytest

from data_prep.engine.receipt import Receipt, build_task_folder, read_receipt, task_key
from geo_nemo.common.errors import UserError


def build(folder, text="four", key="k1"):
    def fill(partial):
        (partial / "a.txt").write_text(text)
        (partial / "deep").mkdir()
        (partial / "deep" / "b.bin").write_bytes(b"123")
        return {"documents": 2}

    build_task_folder(folder, key, fill)


def test_a_receipt_lists_files_sizes_and_counts(tmp_path):
    build(tmp_path / "t")
    assert read_receipt(tmp_path / "t") == Receipt(
        key="k1", files={"a.txt": 4, "deep/b.bin": 3}, counts={"documents": 2}
    )


def test_a_folder_whose_file_was_cut_or_lost_has_no_receipt(tmp_path):
    build(tmp_path / "cut")
    (tmp_path / "cut" / "a.txt").write_text("fou")
    build(tmp_path / "lost")
    (tmp_path / "lost" / "deep" / "b.bin").unlink()
    build(tmp_path / "garbled")
    (tmp_path / "garbled" / "receipt.json").write_text("{")
    assert [read_receipt(tmp_path / n) for n in ("cut", "lost", "garbled", "none")] == [None] * 4


def test_a_build_that_fails_leaves_the_old_folder_and_nothing_aside(tmp_path):
    build(tmp_path / "t")

    def fall(partial):
        (partial / "a.txt").write_text("new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_task_folder(tmp_path / "t", "k2", fall)
    assert (tmp_path / "t" / "a.txt").read_text() == "four"
    assert read_receipt(tmp_path / "t").key == "k1"
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_build_replaces_the_old_folder_and_what_a_killed_one_left(tmp_path):
    build(tmp_path / "t")
    (tmp_path / "t.01234567.partial").mkdir()
    (tmp_path / "t.01234567.partial" / "left").write_text("left")
    (tmp_path / "t.2.01234567.partial").mkdir()  # another task's
    build(tmp_path / "t", text="fresh", key="k2")
    assert {path.name for path in tmp_path.iterdir()} == {"t", "t.2.01234567.partial"}
    assert read_receipt(tmp_path / "t").key == "k2"
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["a.txt", "deep", "receipt.json"]


def test_two_that_build_the_same_folder_at_once_do_not_mix(tmp_path):
    """The old process of a job that is requeued may live on for a while."""

    def old(partial):
        (partial / "a.txt").write_text("fo")

        def new(other):
            (other / "a.txt").write_text("four")
            assert (partial / "a.txt").read_text() == "fo"
            return {}

        build_task_folder(tmp_path / "t", "k1", new)
        (partial / "b.txt").write_text("late")

    with pytest.raises(UserError, match=r"cannot write .*b\.txt: No such file"):
        build_task_folder(tmp_path / "t", "k1", old)
    assert read_receipt(tmp_path / "t").files == {"a.txt": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_full_disk_is_a_user_error_that_names_the_file(tmp_path):
    def fill(partial):
        raise OSError(28, "No space left on device", str(partial / "a.txt"))

    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left on device"):
        build_task_folder(tmp_path / "t", "k", fill)
    assert list(tmp_path.iterdir()) == []


def test_a_key_changes_with_each_part_and_with_where_parts_end():
    keys = {task_key("a", "b"), task_key("ab"), task_key("a", "c"), task_key("b", "a")}
    assert len(keys) == 4
    assert task_key("a", "b") == "59b271ae1bbcb1d3"
