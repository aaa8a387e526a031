"""Prometheus' gauges, served and in a file."""

import time
import urllib.request

import pytest

from geo_nemo.config import UserError
from geo_nemo.train.callbacks.loggers import scalars
from tests.unit.train.loggers.conftest import LINE, end, needs


@pytest.fixture(autouse=True)
def _package():
    needs("prometheus_client")


def served_at(logger, port) -> str:
    """What is served once the logger has taken everything."""
    deadline = time.monotonic() + 20
    while logger._actions:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return answer.read().decode()


def test_it_serves_and_writes_the_same_gauges(tmp_path, open_logger, unused_port):
    file = tmp_path / "geo.prom"
    logger = open_logger(prometheus_port=unused_port, prometheus_textfile=str(file))
    logger.write(5, scalars(LINE))
    for text in (served_at(logger, unused_port), file.read_text()):
        assert 'geo_nemo_step{run="run-a"} 5.0' in text
        assert 'geo_nemo_loss{run="run-a"} 2.5' in text
        assert 'geo_nemo_loss_by_country{of="us",run="run-a"} 3.0' in text


def test_after_a_rewind_it_serves_the_step_taken_again(open_logger, unused_port):
    logger = open_logger(prometheus_port=unused_port)
    for step in (1, 2, 3):
        logger.write(step, {"loss": float(step)})
    logger.start(1, must_open=True)
    logger.write(2, {"loss": 0.5})
    text = served_at(logger, unused_port)
    assert 'geo_nemo_step{run="run-a"} 2.0' in text
    assert text.count("geo_nemo_loss{") == text.count('geo_nemo_loss{run="run-a"} 0.5') == 1


def test_names_of_others_and_odd_ones_are_made_prometheus_own(tmp_path, open_logger):
    file = tmp_path / "geo.prom"
    logger = open_logger(prometheus_textfile=str(file))
    logger.write(1, {"train_step_timing in s": 0.25, "val_loss": 6.0, "val_loss/wrong": 7.0})
    end(logger)
    text = file.read_text()
    assert 'geo_nemo_train_step_timing_in_s{run="run-a"} 0.25' in text
    assert 'geo_nemo_val_loss{run="run-a"} 6.0' in text
    assert 'geo_nemo_val_loss_by{of="wrong",run="run-a"} 7.0' in text


def test_a_port_in_use_is_one_line(open_logger, unused_port):
    open_logger(prometheus_port=unused_port)
    with pytest.raises(UserError, match=r"logging.prometheus_\*: OSError: .*in use; mend"):
        open_logger(prometheus_port=unused_port)
