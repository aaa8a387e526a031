"""A logger in its thread: training never waits for it, and nothing that it misses is silent."""

import json
import threading
import time
from types import SimpleNamespace

import pytest

from geo_nemo.common.stuck import end_process
from geo_nemo.config import UserError
from geo_nemo.train.callbacks.loggers import background
from geo_nemo.train.callbacks.loggers.background import Background
from geo_nemo.train.callbacks.loggers.history import History
from geo_nemo.train.callbacks.loggers.hub import Loggers


class Recorder:
    """Notes each call; `fail` is raised by writes while it is set."""

    def __init__(self):
        self.calls = []
        self.fail: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def on_start(self, step):
        self._call("start", step)

    def write(self, step, values):
        self._call("write", step)

    def close(self, outcome):
        self._call("close", outcome)

    def _call(self, *call):
        self.gate.wait()
        if self.fail is not None and call[0] == "write":
            raise self.fail
        self.calls.append(call)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(background, "WAITS", (0.02,))
    monkeypatch.setattr(background, "CLOSE_SECONDS", 0.5)
    monkeypatch.setattr(background, "OPEN_SECONDS", 0.5)


@pytest.fixture
def said():
    return []


@pytest.fixture
def opened(quick, said):
    recorder = Recorder()
    logger = Background("logging.x", recorder, tell=said.append)
    logger.start(0, must_open=True)
    yield logger, recorder
    recorder.gate.set()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def end(logger, outcome="finished"):
    logger.close(outcome)
    logger.join()


def test_it_gets_everything_in_order_and_is_closed(opened, said):
    logger, recorder = opened
    for step in range(1, 100):
        logger.write(step, {})
    end(logger, "stopped")
    steps = [("write", step) for step in range(1, 100)]
    assert recorder.calls == [("start", 0), *steps, ("close", "stopped")]
    assert said == []


def test_a_rewind_leaves_one_that_has_ended_where_it_is(opened, said):
    logger, recorder = opened
    recorder.fail = ValueError("refused")
    logger.write(1, {})
    until(lambda: said)
    logger._thread.join()
    logger.start(0, must_open=False)
    logger.write(1, {})
    end(logger)
    assert recorder.calls == [("start", 0)]
    assert said == ["logging.x failed (ValueError: refused); the run goes on without it"]


def test_one_that_exits_is_told_as_one_that_fails(opened, said):
    """Of `exit()` a thread would end without a word."""
    logger, recorder = opened
    recorder.fail = SystemExit(0)
    logger.write(1, {})
    end(logger)
    assert said == ["logging.x failed (SystemExit: 0); the run goes on without it"]


def test_a_logger_that_changes_its_numbers_changes_no_other_s(quick):
    class Takes(Recorder):
        def write(self, step, values):
            self.calls.append(values.pop("loss"))

    both = Takes(), Takes()
    loggers = Loggers([Background(str(each), each) for each in both])
    for logger in loggers.loggers:
        logger.start(0, must_open=True)
    loggers.add({"loss": 2.0})
    loggers.on_step(SimpleNamespace(step=0))
    loggers.on_end()
    assert [each.calls[1] for each in both] == [2.0, 2.0]


def test_a_step_does_not_wait_for_a_logger_that_hangs(opened, said):
    logger, recorder = opened
    recorder.gate.clear()
    begin = time.perf_counter()
    for step in range(1000):
        logger.write(step, {})
    assert time.perf_counter() - begin < 10  # it would wait for ever
    end(logger)
    assert said == ["logging.x: 1,000 logged steps are missing there; metrics.jsonl has them all"]
    with pytest.raises(SystemExit):
        recorder.gate.set()
        until(lambda: not logger._thread.is_alive())
        end_process(0)


def test_what_a_server_missed_while_it_was_down_arrives_and_is_said_once(opened, said):
    logger, recorder = opened
    logger.write(1, {})
    until(lambda: ("write", 1) in recorder.calls)
    for step in (2, 3):  # down twice
        recorder.fail = ConnectionError("http://me:secret@h refused")
        logger.write(step, {})
        until(lambda: len(said) >= 1)
        time.sleep(0.1)
        recorder.fail = None
        until(lambda step=step: ("write", step) in recorder.calls)
    end(logger)
    assert recorder.calls == [
        ("start", 0), ("write", 1), ("write", 2), ("write", 3), ("close", "finished"),
    ]  # fmt: skip
    assert said == [
        "logging.x failed (http://me:***@h refused); the run goes on, and what it lacks is sent "
        "later",
        "logging.x works again",
    ]


def test_a_timeout_deep_in_a_library_s_error_may_pass(opened):
    logger, recorder = opened
    error = RuntimeError("request failed")
    error.__context__ = TimeoutError()
    recorder.fail = error
    logger.write(1, {})
    time.sleep(0.1)
    recorder.fail = None
    until(lambda: ("write", 1) in recorder.calls)
    end(logger)


def test_any_other_failure_is_said_once_and_ends_the_logger_alone(opened, said):
    logger, recorder = opened
    recorder.fail = KeyError("gone")
    for step in (1, 2):
        logger.write(step, {})
    until(lambda: said)
    logger.write(3, {})
    end(logger)
    assert recorder.calls == [("start", 0)]
    assert said == ["logging.x failed (KeyError: 'gone'); the run goes on without it"]


def test_what_never_arrives_is_said_at_the_end_after_a_bounded_wait(opened, said):
    logger, recorder = opened
    recorder.fail = ConnectionError("down")
    for step in (1, 2, 3):
        logger.write(step, {})
    begin = time.monotonic()
    end(logger)
    assert time.monotonic() - begin < 5
    assert said[1:] == ["logging.x: 3 logged steps are missing there; metrics.jsonl has them all"]


def test_no_more_is_kept_than_fits_and_the_oldest_goes(opened, said, monkeypatch):
    monkeypatch.setattr(background, "KEPT_STEPS", 10)
    logger, recorder = opened
    recorder.fail = ConnectionError("down")
    for step in range(1, 31):
        logger.write(step, {})
    assert len(logger._actions) == 10
    recorder.fail = None
    until(lambda: ("write", 30) in recorder.calls)
    end(logger)
    kept = [step for kind, step in recorder.calls if kind == "write"]
    assert kept[-1] == 30 and len(kept) == 10
    assert said[-1] == "logging.x: 20 logged steps are missing there; metrics.jsonl has them all"


class Closed(Recorder):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_start(self, step):
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("h does not answer"), "logging.x: h does not answer; mend that or take"),
        (UserError("logging.x: no key"), "^logging.x: no key$"),
        (ModuleNotFoundError("No module named 'psycopg'", name="psycopg"), "pip install psycopg$"),
        (ValueError("odd"), "logging.x: ValueError: odd; mend that or take the setting out"),
    ],
)
def test_at_a_first_start_what_does_not_open_ends_the_run(quick, said, error, message):
    logger = Background("logging.x", Closed(error), tell=said.append)
    with pytest.raises(UserError, match=message):
        logger.start(0, must_open=True)
    end(logger)
    assert said == []


def test_a_server_that_is_silent_at_a_first_start_ends_the_run(quick, said, monkeypatch):
    monkeypatch.setattr(background, "CLOSE_SECONDS", 60)
    recorder = Recorder()
    recorder.gate.clear()
    logger = Background("logging.x", recorder, tell=said.append)
    with pytest.raises(UserError, match=r"logging.x: no answer in 0 s; mend that"):
        logger.start(0, must_open=True)
    begin = time.monotonic()
    end(logger)
    assert time.monotonic() - begin < 30  # it was given up already
    recorder.gate.set()


def test_after_a_restart_what_does_not_open_is_said_and_opened_later(quick, said, monkeypatch):
    monkeypatch.setattr(background, "OPEN_SECONDS", 60)
    recorder = Closed(ConnectionError("h does not answer"))
    logger = Background("logging.x", recorder, tell=said.append)
    begin = time.monotonic()
    logger.start(100, must_open=False)
    assert time.monotonic() - begin < 30
    logger.write(101, {})
    recorder.error = None
    until(lambda: ("write", 101) in recorder.calls)
    end(logger)
    assert said == [
        "logging.x failed (h does not answer); the run goes on, and what it lacks is sent later",
        "logging.x works again",
    ]


def test_after_a_restart_a_refusal_is_said_and_the_run_goes_on(quick, said):
    logger = Background("logging.x", Closed(UserError("logging.x: key refused")), tell=said.append)
    logger.start(100, must_open=False)
    logger.write(101, {})
    end(logger)
    assert said == ["logging.x: key refused; the run goes on without it"]


def lines(folder, steps):
    """A run that logged so many steps, and validated every second one."""
    metrics = [{"step": step, "loss": step / 2} for step in range(steps)]
    measured = [{"step": step, "loss": {"with": 1.0}} for step in range(1, steps, 2)]
    for name, content in (("metrics", metrics), ("validation", measured)):
        text = "".join(json.dumps(line) + "\n" for line in content)
        (folder / f"{name}.jsonl").write_text(text + '{"step": 9')


class Remembers(Recorder):
    def __init__(self, last_told):
        super().__init__()
        self.last_told = last_told
        self.values = {}

    def write(self, step, values):
        super().write(step, values)
        self.values[step] = values
        self.last_told = step


def test_one_that_knows_its_last_step_is_sent_what_it_lacks(tmp_path, quick, said):
    lines(tmp_path, 8)
    recorder = Remembers(last_told=2)
    logger = Background("logging.x", recorder, History(tmp_path, "nemo"), said.append)
    logger.start(5, must_open=True)
    logger.write(6, {"loss": 9.0})
    end(logger)
    assert recorder.values == {
        3: {"reduced_train_loss": 1.0, "global_step": 2.0},
        4: {"reduced_train_loss": 1.5, "val_loss": 1.0, "global_step": 3.0},
        5: {"reduced_train_loss": 2.0, "global_step": 4.0},
        6: {"loss": 9.0},
    }


def test_a_validation_between_logged_steps_is_sent_in_its_place(tmp_path):
    metrics = [{"step": step, "loss": step / 2} for step in (3, 7)]
    measured = [{"step": step, "loss": {"without": step / 4}} for step in (1, 3, 5, 9)]
    for name, content in (("metrics", metrics), ("validation", measured)):
        text = "".join(json.dumps(line) + "\n" for line in content)
        (tmp_path / f"{name}.jsonl").write_text(text)
    loss, told = "loss", "validation_loss/without"
    assert list(History(tmp_path).between(0, 9)) == [
        (2, {told: 0.25}),
        (4, {loss: 1.5, told: 0.75}),
        (6, {told: 1.25}),
        (8, {loss: 3.5}),
    ]


def test_what_it_lacks_is_sent_from_where_it_failed(tmp_path, quick, said):
    lines(tmp_path, 8)
    recorder = Remembers(last_told=0)
    logger = Background("logging.x", recorder, History(tmp_path), said.append)
    recorder.fail = ConnectionError("down")
    logger.start(6, must_open=True)
    time.sleep(0.1)
    recorder.fail = None
    until(lambda: recorder.last_told == 6)
    end(logger)
    assert [step for kind, step in recorder.calls if kind == "write"] == [1, 2, 3, 4, 5, 6]


def test_one_that_is_behind_or_ahead_or_has_no_files_is_sent_nothing(tmp_path, quick, said):
    for told, done, files in ((5, 5, True), (7, 5, True), (0, 5, False)):
        folder = tmp_path / f"{told}{files}"
        folder.mkdir()
        if files:
            lines(folder, 8)
        recorder = Remembers(last_told=told)
        logger = Background("logging.x", recorder, History(folder), said.append)
        logger.start(done, must_open=True)
        end(logger)
        assert recorder.values == {}


def test_one_that_was_never_started_is_closed_all_the_same(quick, said):
    logger = Background("logging.x", Recorder(), tell=said.append)
    end(logger)
    assert said == []
