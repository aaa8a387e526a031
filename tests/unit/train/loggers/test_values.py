"""What loggers are told, and under which names."""

import pytest

from geo_nemo.train.callbacks.loggers import scalars
from geo_nemo.train.callbacks.loggers.values import plain, renamed
from tests.unit.train.loggers.conftest import LINE


def test_a_line_s_numbers_are_flat_and_its_words_and_step_are_left_out():
    assert scalars(LINE) == {
        "loss": 2.5,
        "loss_by_country/gb": 2.0,
        "loss_by_country/us": 3.0,
        "trained_tokens": 7.0,
        "timing/data_wait": 0.5,
    }


# What NeMo 2.7.3 logs after a first step of 8 samples: global_step 0, consumed_samples 8.
FIRST_STEP = {
    "loss": 6.5, "lr": 1e-3, "grad_norm": 2.0, "param_norm": 9.0, "seconds": 0.25,
    "consumed_samples": 8.0, "total_samples": 8.0, "tokens_per_second": 4096.0,
    "validation_loss/with": 6.0, "validation_loss/without": 6.25, "mfu": 0.4,
}  # fmt: skip


def test_nemo_s_names():
    assert renamed(FIRST_STEP, "nemo", 1) == {
        "reduced_train_loss": 6.5, "lr": 1e-3, "grad_norm": 2.0, "param_norm": 9.0,
        "train_step_timing in s": 0.25, "stage_consumed_samples": 8.0, "consumed_samples": 8.0,
        "throughput/tokens_per_sec": 4096.0, "val_loss": 6.0, "validation_loss/without": 6.25,
        "mfu": 0.4, "global_step": 0.0,
    }  # fmt: skip


def test_megatron_s_names():
    assert renamed(FIRST_STEP, "megatron", 1) == {
        "lm loss": 6.5, "learning-rate": 1e-3, "grad-norm": 2.0, "params-norm": 9.0,
        "iteration-time": 0.25, "consumed_samples": 8.0, "samples vs steps": 8.0,
        "tokens_per_second": 4096.0, "lm loss validation": 6.0, "validation_loss/without": 6.25,
        "mfu": 0.4,
    }  # fmt: skip


def test_a_run_without_metadata_has_nemo_s_validation_loss_too():
    assert renamed({"validation_loss/without": 6.25}, "nemo", 3) == {
        "val_loss": 6.25,
        "global_step": 2.0,
    }


def test_our_own_names_stay():
    assert renamed(FIRST_STEP, "own", 1) == FIRST_STEP


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss_by_country/gb", "loss_by_country/gb"),
        ("train_step_timing in s", "train_step_timing in s"),
        ("tokens_by_stage/first (full)", "tokens_by_stage/first _full_"),
        ("tokens_by_stage/étape?", "tokens_by_stage/_tape_"),
        ("/a//b/../c", "_/a/_/b/__/c"),
        (".", "_"),
        ("a" * 300, "a" * 250),
    ],
)
def test_names_that_mlflow_refuses_are_made_plain(name, expected):
    assert plain(name) == expected
