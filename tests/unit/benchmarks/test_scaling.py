"""The page of paper scale: as it is written, and its time counted by hand."""

import pytest

from benchmarks import scaling
from benchmarks.scaling import (
    PAGE,
    data_parallel_seconds,
    page,
    plan,
    recomputed,
    run_of,
    step_flops,
    tensor_parallel_seconds,
)
from geo_nemo.config import Run
from geo_nemo.config.load import load_config
from geo_nemo.model.layout import check_layout

VOCAB_SIZE = scaling.VOCAB_SIZE


def test_the_page_is_what_the_command_writes():
    assert PAGE.read_text() == page()


def test_a_run_is_that_of_its_settings():
    settings = [
        "output_dir=none", "data.store=none", "model=8b", "parallel=overlap", "parallel.tensor=2",
        "parallel.sequence_parallel=true", "train.micro_batch_size=4",
        "parallel.recompute=selective",
    ]  # fmt: skip
    assert run_of("8b", 2, 1, 4, "selective") == load_config("train", Run, settings)


def test_a_step_on_one_chip_is_its_operations_over_the_assumed_speed():
    line = plan("1b", 1)
    layers = 16 * (4 * 2048**2 + 3 * 2048 * 5632)
    tokens = 2048 * 2048
    attention = 6 * 16 * 2048 * 2048**2 * 2048
    operations = 6 * (layers + VOCAB_SIZE * 2048) * tokens + attention
    assert step_flops(line.run) == pytest.approx(operations)
    assert line.step == pytest.approx(operations / (989.4e12 * 0.4))
    assert line.mfu == pytest.approx(0.4)
    assert line.days(42e9) == pytest.approx(42e9 / tokens * line.step / 86400)


def test_gradients_pass_a_ring_by_its_slowest_link():
    run = run_of("1b", 1, 1, 1, "none")
    parameters = 16 * (4 * 2048**2 + 3 * 2048 * 5632 + 2 * 2048) + 2 * VOCAB_SIZE * 2048 + 2048
    reduce, gather = data_parallel_seconds(run, check_layout(run, VOCAB_SIZE, 8), 8)
    assert reduce == pytest.approx(4 * parameters * 7 / 8 / (450e9 * 0.8))
    assert gather == pytest.approx(reduce / 2)
    reduce, _ = data_parallel_seconds(run, check_layout(run, VOCAB_SIZE, 32), 32)
    assert reduce == pytest.approx(4 * parameters * 31 / 32 / (8 * 50e9 * 0.8))


def test_tensor_parallel_messages_by_hand():
    run = run_of("8b", 2, 1, 4, "none")
    layout = check_layout(run, VOCAB_SIZE, 8)
    assert layout.micro_batches == 2048 // 4 // 4
    message = 2 * 4 * 2048 * 4096 / 2
    expected = 10 * message * 32 * 128 / (450e9 * 0.8)
    assert tensor_parallel_seconds(run, layout) == pytest.approx(expected)


def test_whole_layers_again_are_a_third_more_of_their_products():
    run = run_of("1b", 1, 1, 1, "full")
    layers = 16 * (4 * 2048**2 + 3 * 2048 * 5632)
    again = 2 * layers * 2048 * 2048
    assert recomputed(run) == pytest.approx(1 + again / step_flops(run))
    assert 1 < recomputed(run_of("1b", 1, 1, 1, "selective")) < recomputed(run)


def test_what_does_not_fit_has_no_line():
    assert plan("8b", 1) is None
