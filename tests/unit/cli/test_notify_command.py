"""`geo-nemo notify`: what a job script calls for a process that was killed."""

import json

import pytest

from tests.support.command import call
from tests.unit.diagnostics.run_folders import Folder
from tests.unit.runtime.test_notify import SECRET, serving


@pytest.fixture
def hook(monkeypatch):
    with serving() as server:
        monkeypatch.setenv("GEO_NEMO_WEBHOOK", server.address)
        yield server


@pytest.fixture
def notify(monkeypatch, capsys):
    return lambda *arguments: call(monkeypatch, capsys, "notify", *map(str, arguments))


@pytest.fixture
def run(tmp_path):
    notify = {"webhook": "GEO_NEMO_WEBHOOK", "on": ("failed", "stopped")}
    return Folder(tmp_path / "run").record(notify=notify).beat(4)


def test_a_killed_run_is_told_of_by_its_own_settings(run, notify, hook):
    code, out, err = notify(run.path, "--event", "failed", "--text", "signal 9\n(rank 1)")
    assert (code, err) == (0, "")
    ((_, _, body),) = hook.seen
    message = json.loads(body)
    assert message["text"] == "geo-nemo: tiny failed at step 4 of 6: signal 9 (rank 1)"
    assert (message["event"], message["stage"], message["loss"]) == ("failed", "cooldown", 4.5)
    assert out == f"told: {message['text']}\n"


@pytest.mark.parametrize(
    ("told", "times"), [(True, 0), (False, 1), (None, 1)], ids=["told", "not told", "killed"]
)
def test_once_does_not_repeat_what_the_process_has_told(run, notify, hook, told, times):
    if told is not None:
        run.write("end.json", json.dumps({"event": "failed", "told": told}))
    assert notify(run.path, "--event", "failed", "--once")[0] == 0
    assert len(hook.seen) == times


def test_what_is_not_asked_for_is_not_told(run, notify, hook, tmp_path):
    code, out, _ = notify(run.path, "--event", "finished")
    assert (code, "notify.on leaves out finished" in out) == (0, True)
    quiet = Folder(tmp_path / "quiet").record()
    code, out, _ = notify(quiet.path, "--event", "failed")
    assert (code, "nobody is to be told" in out) == (0, True)
    assert hook.seen == []


def test_a_test_is_always_told_also_without_a_run(run, notify, hook, tmp_path):
    assert notify(run.path, "--event", "test")[0] == 0
    code, _, _ = notify(tmp_path, "--event", "test", "notify.webhook=GEO_NEMO_WEBHOOK")
    assert (code, len(hook.seen)) == (0, 2)


def test_a_server_that_fails_is_one_line_and_code_1(run, notify, monkeypatch):
    with serving(status=503) as server:
        monkeypatch.setenv("GEO_NEMO_WEBHOOK", server.address)
        code, _, err = notify(run.path, "--event", "failed")
    assert (code, err) == (1, "geo-nemo: notify.webhook: the server answers 503\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{none}", "--event", "failed"], "cannot read {none}/run.json"),
        (["{run}", "--event", "exploded"], "'exploded' is not one of"),
        (["{run}", "--event", "failed", "train.lr=1"], "train.lr is no setting of notify"),
        (["{run}", "--event", "failed", "notify.weboook=X"], "did you mean webhook"),
        (["{run}", "--event", "failed", f"notify.webhook=http://h/{SECRET}"], "environment var"),
        (["{run}", "--event", "failed", f"notify.webhook=[http://h/{SECRET}"], "cannot read"),
        (["{run}", "--event", "failed", "notify.webhook=NOT_SET"], "NOT_SET is not set"),
    ],
)
def test_mistakes_are_one_line(run, notify, tmp_path, arguments, words):
    names = {"run": run.path, "none": tmp_path / "none"}
    code, out, err = notify(*(argument.format(**names) for argument in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("geo-nemo: ") and err.count("\n") == 1
    assert words.format(**names) in err and SECRET not in err
