"""TensorBoard's event files, read back by TensorBoard."""

import resource

import pytest

from geo_nemo.config import Logging
from geo_nemo.train.callbacks.loggers.logger import Told
from geo_nemo.train.callbacks.loggers.tensorboard import TensorBoard
from tests.unit.train.loggers.conftest import end, needs


def points(folder, tag):
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_each_number_stands_at_its_step(tmp_path, open_logger):
    needs("tensorboard")
    logger = open_logger(tensorboard=True)
    logger.write(4, {"loss": 2.5, "loss_by_country/gb": 2.0, "timing/data wait (s)": 0.5})
    end(logger)
    assert points(tmp_path, "loss") == [(4, 2.5)]
    assert points(tmp_path, "loss_by_country/gb") == [(4, 2.0)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_was_full_for_a_while_has_every_step_afterwards(tmp_path):
    needs("tensorboard")
    logger = TensorBoard(Told("a", tmp_path, Logging(tensorboard=True), {}))
    logger.on_start(0)
    logger.write(1, {"loss": 1.0})
    (file,) = (tmp_path / "tensorboard").iterdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            logger.write(2, {"loss": 2.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for step in (2, 3):
        logger.write(step, {"loss": float(step)})
    logger.close("finished")
    assert points(tmp_path, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_steps_after_the_one_that_a_run_goes_on_from_are_purged(tmp_path, open_logger):
    needs("tensorboard")
    first = open_logger(tensorboard=True)
    for step in range(1, 6):
        first.write(step, {"loss": float(step)})
    end(first)  # killed at 5, the newest checkpoint is that of step 3
    second = open_logger(3, tensorboard=True)
    for step in range(4, 8):
        second.write(step, {"loss": 10.0 * step})
    second.start(5, must_open=True)  # wound back
    second.write(6, {"loss": 0.5})
    end(second)
    assert points(tmp_path, "loss") == [
        (1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0), (6, 0.5),
    ]  # fmt: skip
