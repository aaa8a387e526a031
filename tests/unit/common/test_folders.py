"""Folders built aside: whole or absent, whatever stops them."""

import os

import pytest

from geo_nemo.common import folders
from geo_nemo.common.errors import UserError
from geo_nemo.common.folders import building, name_folder, replace_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_takes_the_place_of_the_one_before(tmp_path):
    place = tmp_path / "out"
    for content in ("old", "new"):
        with building(place) as made:
            assert names(made) == [] and (content == "new") == place.exists()
            (made / "file").write_text(content)
    assert (place / "file").read_text() == "new" and names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_what_stops_it_leaves_the_folder_as_it_was(tmp_path, error):
    place = tmp_path / "out"
    place.mkdir()
    (place / "file").write_text("old")
    with pytest.raises(UserError if error is OSError else error), building(place) as made:
        (made / "file").write_text("half")
        raise error
    assert (place / "file").read_text() == "old" and names(tmp_path) == ["out"]


def test_where_the_new_one_cannot_be_named_the_old_one_is_named_again(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "gone", tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_killed_between_its_two_renames_it_is_built_again(tmp_path, monkeypatch):
    place = tmp_path / "out"
    place.mkdir()
    (place / "file").write_text("old")

    def killed(made, folder):
        raise SystemExit

    monkeypatch.setattr(folders, "name_folder", killed)
    monkeypatch.setattr(folders.shutil, "rmtree", lambda *_, **__: None)  # nor does it clear up
    with pytest.raises(SystemExit), building(place) as made:
        (made / "file").write_text("new")
    monkeypatch.undo()
    assert names(tmp_path) == ["out.before.partial", "out.partial"]
    with building(place) as made:
        assert names(made) == []
        (made / "file").write_text("newer")
    assert (place / "file").read_text() == "newer" and names(tmp_path) == ["out"]
    replaced = tmp_path / "other"
    replaced.mkdir()
    replace_folder(replaced, place)
    assert names(tmp_path) == ["out"] and names(place) == []


def test_a_name_that_is_taken_stays_whose_it_is(tmp_path):
    made, place = tmp_path / "made", tmp_path / "out"
    for folder in (made, place):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    with pytest.raises(OSError, match="not empty"):
        name_folder(made, place)
    os.unlink(place / "file")
    name_folder(made, place)
    assert (place / "file").read_text() == "made"
