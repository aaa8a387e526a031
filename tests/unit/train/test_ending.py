"""How a run's process ended: what is kept, what is told, and that no setting of it matters."""

import json
import re
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from geo_nemo.config import RunError, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.schema import Run
from geo_nemo.runtime.watchdog import Watchdog
from geo_nemo.train.ending import NAME, Ending
from geo_nemo.train.setup import prepare
from tests.support.command import SMALL, call
from tests.support.processes import Process
from tests.support.tiny import tiny_run
from tests.unit.runtime.test_notify import SECRET, serving


@pytest.fixture
def hook(monkeypatch):
    with serving() as server:
        monkeypatch.setenv("GEO_NEMO_WEBHOOK", server.address)
        yield server


def kept(output):
    return json.loads((output / NAME).read_bytes())


def ended(output, error=None, **notify):
    run = tiny_run(Path("store"), output, notify=notify)
    output.mkdir(exist_ok=True)
    with suppress(Exception, KeyboardInterrupt), Ending(run) as ending:
        ending.on_start(4)
        if error is not None:
            raise error
        ending.finished = True
    return kept(output)


@pytest.mark.parametrize(
    ("error", "event", "why"),
    [
        (None, "finished", ""),
        (RunError("the loss is nan"), "failed", "the loss is nan"),
        (UserError("no room\n at all"), "failed", "no room at all"),
        (ZeroDivisionError("x"), "failed", "ZeroDivisionError: x"),
        (KeyboardInterrupt(), "stopped", "interrupted before it had saved"),
    ],
)
def test_each_end_is_kept_and_told(tmp_path, hook, error, event, why):
    found = ended(tmp_path / "run", error, webhook="GEO_NEMO_WEBHOOK")
    assert (found["event"], found["why"], found["step"], found["told"]) == (event, why, 4, True)
    ((_, _, body),) = hook.seen
    told = json.loads(body)
    assert told["text"] == f"geo-nemo: tiny {event} at step 4 of 6{f': {why}' * bool(why)}"
    assert told == {key: value for key, value in found.items() if key != "told"}


def test_a_password_in_a_library_s_words_is_neither_kept_nor_told(tmp_path, hook):
    error = OSError("no answer of https://me:hush@host/a?token=hush")
    found = ended(tmp_path / "run", error, webhook="GEO_NEMO_WEBHOOK")
    assert found["why"] == "OSError: no answer of https://me:***@host/a?token=***"
    ((_, _, body),) = hook.seen
    assert b"hush" not in body and "hush" not in (tmp_path / "run" / NAME).read_text()


def test_only_what_was_asked_for_is_told(tmp_path, hook):
    found = ended(tmp_path / "run", webhook="GEO_NEMO_WEBHOOK", on=("failed",))
    assert (hook.seen, found["told"], found["event"]) == ([], False, "finished")


def test_a_server_that_refuses_changes_nothing_but_a_line(tmp_path, monkeypatch, capsys):
    with serving(status=500) as server:
        monkeypatch.setenv("HOOK", server.address)
        found = ended(tmp_path / "run", RunError("why"), webhook="HOOK")
    assert (found["event"], found["why"], found["told"]) == ("failed", "why", False)
    assert capsys.readouterr().err == "geo-nemo: warning: notify.webhook: the server answers 500\n"


def test_the_end_before_is_gone_when_a_process_begins(tmp_path):
    ended(tmp_path)
    with pytest.raises(SystemExit), Ending(tiny_run(Path("store"), tmp_path)):
        assert not (tmp_path / NAME).exists()
        raise SystemExit  # as from anywhere
    assert kept(tmp_path)["event"] == "failed"


def test_it_is_told_once_though_two_contexts_see_it(tmp_path, hook):
    ending = Ending(tiny_run(Path("store"), tmp_path, notify={"webhook": "GEO_NEMO_WEBHOOK"}))
    with pytest.raises(RunError), ending, ending:
        raise RunError("x")
    assert len(hook.seen) == 1


def test_a_folder_that_takes_no_file_any_more_is_no_second_error(tmp_path, hook):
    run = tiny_run(Path("store"), tmp_path / "gone", notify={"webhook": "GEO_NEMO_WEBHOOK"})
    with pytest.raises(RunError, match="the first"), Ending(run):
        raise RunError("the first")
    assert len(hook.seen) == 1


def test_only_rank_0_tells(tmp_path, hook, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with Ending(tiny_run(Path("store"), tmp_path, notify={"webhook": "NOT_SET"})) as ending:
        ending.finished = True
    assert hook.seen == [] and not (tmp_path / NAME).exists()


def test_a_hang_is_told_before_the_watchdog_ends_the_process(tmp_path, hook, monkeypatch):
    monkeypatch.setattr("os._exit", lambda code: gone.set())
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda *_, **__: None)
    gone = threading.Event()
    ending = Ending(tiny_run(Path("store"), tmp_path, notify={"webhook": "GEO_NEMO_WEBHOOK"}))
    stacks = tmp_path / "stacks" / "rank_00000.txt"
    watchdog = Watchdog(0.2, stacks, "rank 0", grace_s=0.1, tell=ending.hung)
    watchdog.start()
    assert gone.wait(20)
    watchdog.stop()
    assert kept(tmp_path)["why"].startswith("rank 0 made no progress for")
    assert len(hook.seen) >= 1


def test_a_variable_that_is_not_set_is_a_mistake_before_anything_begins(
    tmp_path, tiny_store, monkeypatch, capsys
):
    monkeypatch.delenv("GEO_NEMO_WEBHOOK", raising=False)
    settings = [*SMALL, f"data.store={tiny_store}", f"output_dir={tmp_path}/run"]
    code, _, err = call(monkeypatch, capsys, "train", *settings, "notify.webhook=GEO_NEMO_WEBHOOK")
    assert code == 2
    assert "notify.webhook: the environment variable GEO_NEMO_WEBHOOK is not set" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "setting",
    [
        f"notify.webhook=https://hooks.slack.com/services/{SECRET}",
        f"notify.webhook='https://hooks.slack.com/services/{SECRET}'",
        f"notify.webhook=https://host/x?a={SECRET}&b=1",
        f"notify.webhook=https://host/{{{SECRET}",
        f"notify.webhok=https://host/{SECRET}",
        f"notify.command=[https://host/{SECRET}]",
    ],
)
def test_an_address_among_the_settings_is_refused_and_not_repeated(
    tmp_path, monkeypatch, capsys, setting
):
    settings = [*SMALL, "data.store=s", f"output_dir={tmp_path}/run", setting]
    code, out, err = call(monkeypatch, capsys, "train", *settings)
    assert code == 2
    assert SECRET not in out + err
    assert err.count("\n") == 1


def test_the_section_is_no_part_of_the_fingerprint(tmp_path, tiny_store, monkeypatch):
    bare = prepare(tiny_run(tiny_store, tmp_path), 1).fingerprint
    changed = tiny_run(tiny_store, tmp_path, notify={"command": "true", "on": ("failed",)})
    assert prepare(changed, 1).fingerprint == bare
    assert not [key for key in bare if key.startswith("notify")]


def test_settings_of_a_run_from_before_there_was_such_a_section(tmp_path):
    values = tiny_run(Path("store"), tmp_path).model_dump(mode="json")
    del values["notify"]
    assert not Run.model_validate(values).notify.is_asked_for


def test_a_recipe_may_name_the_variable():
    run = load_config(
        "train", Run, ["experiment=demo", "data.store=s", "output_dir=o",
                       "notify.webhook=GEO_NEMO_WEBHOOK", "notify.on=[failed]"],
    )  # fmt: skip
    assert (run.notify.webhook, run.notify.on) == ("GEO_NEMO_WEBHOOK", ("failed",))


def test_a_trained_run_keeps_no_address_anywhere(tmp_path, tiny_store, hook):
    """Of the whole folder, checkpoints and their records among it, not a byte."""
    settings = [*SMALL, f"data.store={tiny_store}", f"output_dir={tmp_path}/run", "train.steps=2",
                "train.warmup_steps=1", "notify.webhook=GEO_NEMO_WEBHOOK"]  # fmt: skip
    # In a process of its own: in this one another test may have its process groups open.
    trained = Process("geo_nemo", "train", *settings)
    said = trained.communicate()
    assert trained.returncode == 0, said[1]
    assert [json.loads(body)["event"] for _, _, body in hook.seen] == ["finished"]
    assert SECRET not in said[0] + said[1]
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if re.search(SECRET.encode(), path.read_bytes())]
