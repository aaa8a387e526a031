"""What may go and what stays: links, locks, rights, kills; on folders as runs and stores are."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from geo_nemo.config import UserError
from geo_nemo.data.parts import index_places
from geo_nemo.diagnostics import garbage
from geo_nemo.diagnostics.garbage import LEAVING, find_garbage, remove_garbage
from geo_nemo.store import TokenStore
from geo_nemo.train.checkpoint.files import checkpoints
from tests.support.tiny import tiny_run
from tests.unit.diagnostics.run_folders import Folder


@pytest.fixture
def run(tmp_path):
    return Folder(tmp_path / "run").record(checkpoint={"every_steps": 1, "keep_last": 2})


def names(found):
    return [each.path.name for each in found]


def remove(folder, **how):
    return remove_garbage(folder, find_garbage(folder, **how), **how)


def there(run):
    return [path.name for path in checkpoints(run.path / "checkpoints")]


@contextmanager
def held(path):
    """Another process holds a lock."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_checkpoints_beyond_what_is_asked_for_go(run):
    for step in (1, 2, 3, 4):
        run.checkpoint(step)
    found = find_garbage(run.path)
    assert names(found) == ["step_00000001", "step_00000002"]
    assert all(each.bytes > 0 for each in found)
    assert "keep_last=2" in found[0].why
    gone, problems = remove_garbage(run.path, found)
    assert (len(gone), problems) == (2, [])
    assert there(run) == ["step_00000003", "step_00000004"]
    assert find_garbage(run.path) == []


def test_damaged_ones_do_not_count_and_the_newest_whole_one_stays(run):
    for step in (1, 2, 3, 4, 5):
        run.checkpoint(step)
    for step in (4, 5):
        (run.path / "checkpoints" / f"step_{step:08d}" / "weights").unlink()
    assert names(find_garbage(run.path)) == ["step_00000001"]
    remove(run.path)
    assert {"step_00000002", "step_00000003"} <= set(there(run))


def test_content_is_read_before_an_older_one_may_go(run):
    for step in (1, 2, 3):
        run.checkpoint(step)
    weights = run.path / "checkpoints" / "step_00000003" / "weights"
    weights.write_bytes(b"x" * 100)  # as long as it was
    told = []
    assert "step_00000002" not in names(find_garbage(run.path, tell=told.append))
    assert "was changed" in told[0]


def test_none_goes_where_none_is_whole(run):
    for step in (1, 2, 3):
        (run.checkpoint(step) / "weights").write_bytes(b"y" * 100)
    with pytest.raises(UserError, match=r"no checkpoint in .* is whole"):
        find_garbage(run.path)
    assert len(there(run)) == 3


def test_saves_that_were_cut_short_go(run):
    run.checkpoint(1)
    left = run.path / "checkpoints" / "step_00000002.partial"
    left.mkdir()
    (left / "shard").write_bytes(b"x" * 10_000)
    run.write("run.json.partial", "{")
    assert names(find_garbage(run.path)) == ["run.json.partial", "step_00000002.partial"]
    remove(run.path)
    assert not left.exists() and there(run) == ["step_00000001"]


def test_indices_of_other_settings_go(tmp_path, tiny_store):
    store = TokenStore.open(tiny_store)
    run = Folder(tmp_path / "run")
    settings = tiny_run(tiny_store, run.path)
    run.record()
    record = run.path / "run.json"
    record.write_text(record.read_text().replace("{", f'{{"store_hash": "{store.hash}", ', 1))
    own = [index_places(settings, store.hash, store.split("train"), name)[0].path
           for name in settings.stages]  # fmt: skip
    for path in (*own, run.path / "index" / "condition-0123456789abcdef"):
        path.mkdir(parents=True)
        (path / "index.json").write_text("{}")
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = os.uname().nodename
    for builder in (f"{host}-{dead.pid}", f"{host}-{os.getpid()}", "elsewhere-7"):
        (run.path / "index" / f"{own[0].name}.{builder}").mkdir()
    assert names(find_garbage(run.path)) == [
        "condition-0123456789abcdef", f"{own[0].name}.{host}-{dead.pid}",
    ]  # fmt: skip
    remove(run.path)
    assert all(path.exists() for path in own)


def test_without_readable_settings_only_leftovers_go(run):
    for step in (1, 2, 3):
        run.checkpoint(step)
    (run.path / "run.json").write_text("{")
    (run.path / "checkpoints" / "step_00000009.partial").mkdir()
    told = []
    assert find_garbage(run.path, tell=told.append) == []
    assert "not known" in told[0]


def test_a_folder_that_another_process_writes_in_is_left_alone(run):
    for step in (1, 2, 3):
        run.checkpoint(step)
    found = find_garbage(run.path)
    with held(run.path / ".lock"):
        with pytest.raises(UserError, match="another process is writing"):
            find_garbage(run.path)
        with pytest.raises(UserError, match="another process is writing"):
            remove_garbage(run.path, found)
    assert len(there(run)) == 3


def test_what_may_no_longer_go_stays(run):
    """The run went on while the question was open, and keeps more now."""
    for step in (1, 2, 3):
        run.checkpoint(step)
    found = find_garbage(run.path)
    run.record(checkpoint={"keep_last": 9})
    gone, problems = remove_garbage(run.path, found)
    assert (gone, len(problems), len(there(run))) == ([], 1, 3)


@pytest.mark.parametrize("where", ["checkpoints", "step", "inside"])
def test_links_to_outside_are_never_followed(run, tmp_path, where):
    outside = Folder(tmp_path / "outside")
    for step in (1, 2, 3):
        run.checkpoint(step)
        outside.checkpoint(step)
    own, theirs = run.path / "checkpoints", outside.path / "checkpoints"
    (theirs / "step_00000007.partial").mkdir()
    if where == "checkpoints":
        shutil.rmtree(own)
        own.symlink_to(theirs)
    elif where == "step":
        shutil.rmtree(own / "step_00000001")
        (own / "step_00000001").symlink_to(theirs / "step_00000001")
        (own / "step_00000008.partial").symlink_to(theirs / "step_00000007.partial")
    else:
        (own / "step_00000008.partial").mkdir()
        (own / "step_00000008.partial" / "out").symlink_to(theirs)
    before = sorted(path.relative_to(theirs) for path in theirs.rglob("*"))
    remove(run.path)
    assert sorted(path.relative_to(theirs) for path in theirs.rglob("*")) == before


def test_a_link_that_comes_in_between_is_not_followed(run, tmp_path):
    for step in (1, 2, 3):
        run.checkpoint(step)
    found = find_garbage(run.path)
    moved = tmp_path / "moved"
    (run.path / "checkpoints").rename(moved)
    (run.path / "checkpoints").symlink_to(moved)
    gone, problems = remove_garbage(run.path, found)
    assert gone == [] and len(problems) == 1
    assert (moved / "step_00000001" / "weights").exists()


def test_what_may_not_be_removed_is_told_and_the_rest_goes(run, monkeypatch):
    for step in (1, 2, 3, 4):
        run.checkpoint(step)
    rename = os.rename

    def refusing(source, target):
        if Path(source).name == "step_00000001":
            raise PermissionError(13, "Permission denied", str(source))
        rename(source, target)

    monkeypatch.setattr(garbage.os, "rename", refusing)
    gone, problems = remove(run.path)
    assert names(gone) == ["step_00000002"]
    assert problems == [
        f"{run.path}/checkpoints/step_00000001: cannot be removed: Permission denied"
    ]


def test_a_removal_that_is_killed_leaves_whole_things_and_is_gone_on_with(run):
    for step in (1, 2, 3):
        run.checkpoint(step)
    old = run.path / "checkpoints" / "step_00000001"
    code = (
        "import os, sys, time, shutil\nfrom pathlib import Path\n"
        "from geo_nemo.diagnostics import garbage as g\n"
        "def slow(path):\n    os.unlink(path / 'weights')\n    print('half', flush=True)\n"
        "    time.sleep(60)\n"
        "g.shutil.rmtree = slow\n"
        f"folder = Path({str(run.path)!r})\n"
        "g.remove_garbage(folder, g.find_garbage(folder))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert there(run) == ["step_00000002", "step_00000003"]
    assert names(find_garbage(run.path)) == [old.name + LEAVING]
    remove(run.path)
    assert sorted(os.listdir(old.parent)) == ["step_00000002", "step_00000003"]


@pytest.fixture
def preparation(tmp_path, tiny_store):
    output = tmp_path / "prep"
    shutil.copytree(tiny_store, output / "store")
    (output / "report.json").write_text("{}")
    (output / "work" / "ingest" / "0").mkdir(parents=True)
    (output / "work" / "ingest" / "0" / "rows").write_bytes(b"r" * 50_000)
    shard = next((output / "store").rglob("body.bin"))
    os.link(shard, output / "work" / "ingest" / "0" / "body.bin")
    return output


def test_work_goes_where_the_store_is_whole(preparation):
    (found,) = find_garbage(preparation)
    assert found.path.name == "work"
    assert 50_000 <= found.bytes < 60_000  # a second name of the store's file frees nothing
    remove(preparation)
    assert not (preparation / "work").exists()
    TokenStore.open(preparation / "store")
    assert find_garbage(preparation) == []


@pytest.mark.parametrize("spoil", ["report.json", "store/hosts.txt", "store/manifest.json"])
def test_work_stays_where_it_is_still_needed(preparation, spoil):
    (preparation / spoil).unlink()
    told = []
    assert find_garbage(preparation, tell=told.append) == []
    assert str(preparation / "work") in told[0]


def trace_of(store, hash_of=None):
    folder = store.with_name(f"{store.name}.trace")
    folder.mkdir()
    known = hash_of if hash_of is not None else TokenStore.open(store).hash
    (folder / "trace.json").write_text(json.dumps({"format": 1, "store": known}))
    (folder / "words").write_bytes(b"w" * 10_000)
    return folder


def test_an_index_of_texts_goes_with_its_store_or_when_that_is_asked_for(preparation):
    shutil.rmtree(preparation / "work")
    own = trace_of(preparation / "store")
    shutil.copytree(preparation / "store", preparation / "old")
    stale = trace_of(preparation / "old", "of another")
    gone = trace_of(preparation / "gone", "of one that was removed")
    assert names(find_garbage(preparation)) == [gone.name, stale.name]
    assert names(find_garbage(preparation, caches=True)) == [gone.name, stale.name, own.name]
    remove(preparation)
    assert own.is_dir() and not stale.exists() and not gone.exists()


def test_of_a_folder_of_stores_the_same_and_nothing_else(tmp_path, tiny_store):
    shutil.copytree(tiny_store, tmp_path / "a" / "store")
    trace_of(tmp_path / "a" / "store", "of another")
    (tmp_path / "a" / "mine.partial").mkdir()
    assert names(find_garbage(tmp_path / "a")) == ["store.trace"]
    (tmp_path / "a" / "store" / "manifest.json").write_text("{")
    told = []
    assert find_garbage(tmp_path / "a", tell=told.append) == []
    assert "store.trace: stays, its store cannot be read" in told[0]


def test_an_index_that_is_being_made_stays(preparation):
    shutil.rmtree(preparation / "work")
    partial = preparation / "store.trace.partial"
    partial.mkdir()
    with held(partial / ".lock"):
        told = []
        assert find_garbage(preparation, tell=told.append) == []
        assert told == [f"{partial}: is being written"]
    assert names(find_garbage(preparation)) == [partial.name]


def test_of_fetched_stores_whole_ones_go_when_that_is_asked_for(tmp_path):
    stores = tmp_path / "cache" / "stores"
    for name in ("news-0", "news-1.partial", "news-2.partial", "news-3.columns"):
        (stores / name).mkdir(parents=True)
    with held(stores / "news-2.lock"):
        assert names(find_garbage(stores.parent)) == ["news-1.partial"]
        found = find_garbage(stores.parent, caches=True)
        assert names(found) == ["news-0", "news-1.partial", "news-3.columns"]
    with held(stores / "news-0.lock"):
        gone, problems = remove_garbage(stores.parent, found, caches=True)
    assert names(gone) == ["news-1.partial", "news-3.columns"]
    assert problems == [f"{stores}/news-0: is no longer to go"]


@pytest.mark.parametrize("made", ["empty", "file", "nothing"])
def test_other_folders_are_refused(tmp_path, made):
    path = tmp_path / "x"
    if made == "file":
        path.touch()
    elif made == "empty":
        path.mkdir()
    with pytest.raises(UserError):
        find_garbage(path)
    assert not (path / ".lock").exists()


def test_a_real_run_goes_on_after_it(tmp_path, tiny_store, single_process):
    from tests.support.runs import finished

    output = tmp_path / "run"
    made = finished(tiny_store, output, checkpoint={"every_steps": 1, "keep_last": 4})
    Folder(output).record(checkpoint={"keep_last": 1})
    before = made.step
    remove(output)
    assert [path.name for path in checkpoints(output / "checkpoints")] == ["step_00000006"]
    again = finished(tiny_store, output, checkpoint={"every_steps": 1, "keep_last": 1})
    assert again.step == before == 6
