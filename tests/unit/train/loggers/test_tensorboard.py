"""TensorBoard's event files, read back by TensorBoard."""

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
