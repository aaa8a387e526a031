"""`geo-nemo gc`: lists, asks, removes; its codes and lines."""

import subprocess
import sys

import pytest

from geo_nemo.common.lock import folder_lock
from geo_nemo.train.checkpoint.files import checkpoints
from tests.support.command import call
from tests.unit.diagnostics.run_folders import Folder


@pytest.fixture
def gc(monkeypatch, capsys):
    return lambda *words: call(monkeypatch, capsys, "gc", *map(str, words), COLUMNS="200")


@pytest.fixture
def run(tmp_path):
    made = Folder(tmp_path / "runs" / "a").record(checkpoint={"keep_last": 1})
    for step in (1, 2, 3):
        made.checkpoint(step)
    return made


def steps(run):
    return [path.name for path in checkpoints(run.path / "checkpoints")]


def test_a_dry_run_lists_sizes_and_reasons_and_removes_nothing(run, gc):
    code, out, err = gc(run.path, "--dry-run")
    assert (code, err) == (0, "")
    assert f"{run.path}/checkpoints/step_00000001" in out
    assert "KiB" in out and "checkpoint.keep_last=1" in out
    assert len(steps(run)) == 3


def test_yes_removes_of_all_runs_of_a_folder(run, gc):
    code, out, _ = gc(run.path.parent, "--yes")
    assert code == 0
    assert "removed 2, " in out
    assert steps(run) == ["step_00000003"]
    code, out, _ = gc(run.path.parent, "--yes")
    assert (code, out) == (0, "nothing is to go\n")


@pytest.mark.parametrize(("answer", "left"), [("y", 1), ("n", 3), ("", 3)])
def test_it_asks_first(run, gc, monkeypatch, answer, left):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answer)
    assert gc(run.path)[0] == 0
    assert len(steps(run)) == left


def test_without_anybody_to_ask_nothing_goes(run):
    command = [sys.executable, "-m", "geo_nemo", "gc", str(run.path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2
    assert "give --yes" in done.stderr and len(steps(run)) == 3


def test_a_run_that_goes_on_is_refused_and_the_others_are_served(run, gc, tmp_path):
    other = Folder(tmp_path / "runs" / "b").record(checkpoint={"keep_last": 1})
    for step in (1, 2):
        other.checkpoint(step)
    with folder_lock(run.path):
        code, out, err = gc(tmp_path / "runs", "--yes")
    assert code == 2
    assert f"another process is writing in {run.path}" in err and err.count("\n") == 1
    assert (len(steps(run)), len(steps(other))) == (3, 1)
    assert "removed 1" in out


def test_a_refusal_of_the_system_is_code_1(run, gc, monkeypatch):
    def refusing(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("geo_nemo.diagnostics.garbage._delete", refusing)
    code, _, err = gc(run.path, "--yes")
    assert code == 1
    assert err.count("cannot be removed: Permission denied") == 2 and err.count("\n") == 1


@pytest.mark.parametrize("made", ["nothing", "compilers' alone"])
def test_where_no_store_was_fetched_caches_have_none_to_go(run, gc, monkeypatch, tmp_path, made):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if made != "nothing":
        (tmp_path / "cache" / "geo-nemo" / "triton").mkdir(parents=True)
    assert gc("--caches") == (0, "nothing is to go\n", "")
    code, out, err = gc(run.path, "--caches", "--yes")
    assert (code, err) == (0, "") and "removed 2, " in out


@pytest.mark.parametrize(
    ("words", "told"),
    [([], "name a folder, or give --caches"), (["/nowhere"], "cannot read /nowhere")],
)
def test_mistakes_are_one_line(gc, words, told):
    code, out, err = gc(*words)
    assert (code, out) == (2, "")
    assert told in err and err.count("\n") == 1
