"""The first signal asks, a later one ends; a doubled one and forked writers do neither."""

import os
import signal

import pytest

from geo_nemo.config import Health
from geo_nemo.runtime import signals
from geo_nemo.runtime.signals import STOP_SIGNALS, stop_on_signal


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_first_signal_is_a_request_that_is_told_once(number):
    told = []
    with stop_on_signal(told.append) as request:
        assert not request
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert request
        assert request.received == number
    assert told == [number]


def test_a_signal_that_comes_later_ends_the_process(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    with pytest.raises(KeyboardInterrupt), stop_on_signal():
        signal.raise_signal(signal.SIGINT)
        now[0] += signals.SAME_WISH_S / 2
        signal.raise_signal(signal.SIGTERM)  # torchrun passes a terminal's Ctrl-C on
        now[0] += signals.SAME_WISH_S
        signal.raise_signal(signal.SIGINT)


def test_handlers_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with pytest.raises(ValueError), stop_on_signal():
        assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
        raise ValueError
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_a_forked_process_goes_on_with_its_work(monkeypatch):
    """Megatron-Core writes a checkpoint in forks, which a terminal's Ctrl-C reaches too."""
    monkeypatch.setattr(signals, "SAME_WISH_S", -1.0)
    told = []
    with stop_on_signal(told.append) as request:
        child = os.fork()
        if child == 0:
            try:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
                os._exit(7 if not request and not told else 8)
            except BaseException:
                os._exit(9)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_the_end_of_the_slurm_job_or_the_time_limit_is_the_deadline(monkeypatch):
    monkeypatch.setattr(signals.time, "time", lambda: 1000.0)
    none, limited = Health(), Health(time_limit_minutes=60, margin_minutes=5)
    assert signals.stop_deadline(none, {}) is None
    assert signals.stop_deadline(limited, {}) == 1000 + 55 * 60
    assert signals.stop_deadline(none, {"SLURM_JOB_END_TIME": "5000"}) == 5000 - 600
    assert signals.stop_deadline(limited, {"SLURM_JOB_END_TIME": "2000"}) == 2000 - 300
    assert signals.stop_deadline(none, {"SLURM_JOB_END_TIME": "soon"}) is None


def test_a_stop_is_requested_from_the_deadline_on(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(signals.time, "time", lambda: now[0])
    with signals.stop_on_signal(deadline=200.0) as stop:
        assert not stop
        now[0] = 200.0
        assert stop
        assert stop.reason == "its time limit"
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.reason == "SIGUSR1"
