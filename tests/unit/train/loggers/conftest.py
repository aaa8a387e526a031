"""What tests of loggers share. Packages that are not here are those of make test-loggers."""

import importlib
from pathlib import Path

import pytest

from geo_nemo.config import Logging
from geo_nemo.train.callbacks.loggers import make_loggers
from tests.support import wandb_file
from tests.support.ports import free_ports

LINE = {
    "step": 4,
    "steps_done": 5,
    "stage": "condition",
    "loss": 2.5,
    "loss_by_country": {"gb": 2.0, "us": 3.0},
    "trained_tokens": 7,
    "timing": {"data_wait": 0.5, "slowest_host": "node7"},
}


def needs(package: str):
    """The real package, or a skip that says where it is tested."""
    return pytest.importorskip(package, reason=f"{package} is in make test-loggers")


@pytest.fixture
def unused_port() -> int:
    (port,) = free_ports(1)
    return port


@pytest.fixture
def open_logger(tmp_path):
    """Opens a logger of a run in `tmp_path` that has done so many steps; closed with the test."""
    opened = []

    def open_(step: int = 0, must_open: bool = True, **settings):
        (logger,) = make_loggers(Logging(**settings), tmp_path, "run-a", {"train": {"lr": 1e-3}})
        opened.append(logger)
        logger.start(step, must_open)
        return logger

    yield open_
    for logger in opened:
        end(logger)


def end(logger, outcome="finished") -> None:
    """Close it, and wait until it has given everything away."""
    if logger._ends_at is None:
        logger.close(outcome)
        logger.join()
        if getattr(getattr(logger._logger, "_run", None), "offline", False):
            *_, newest = sorted(logger._logger._told.output.glob("wandb/*run-*/run-*.wandb"))
            wandb_file.wait_for_end(newest)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path_factory):
    """Neither keys nor addresses of whoever tests; what a logger sets goes with the test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in (
        "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_PROJECT", "WANDB_SILENT",
        "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "MLFLOW_ALLOW_FILE_STORE",
    ):  # fmt: skip
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def module_at(folder: Path, monkeypatch, name: str, text: str):
    """A module of the user's, importable under `name`."""
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
