"""Weights & Biases' own package: offline, and against a server on this machine."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from geo_nemo.config import UserError
from tests.support import wandb_file
from tests.support.command import SMALL
from tests.support.wandb_server import KEY, serving
from tests.unit.train.loggers.conftest import end, needs

pytestmark = pytest.mark.slow
PROJECT = {"wandb_project": "p"}


@pytest.fixture(autouse=True)
def _package():
    needs("wandb")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    forget_settings()


@pytest.fixture
def server(monkeypatch):
    with serving() as made:
        monkeypatch.setenv("WANDB_BASE_URL", made.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        forget_settings()
        yield made
    forget_settings()


def forget_settings():
    """W&B reads its environment once a process."""
    import wandb

    wandb.teardown()


def logged(folder):
    """The rows of all sessions of the run, in their order."""
    files = sorted((folder / "wandb").glob("*run-*/run-*.wandb"))
    return [row for file in files for row in wandb_file.rows(file)]


def ids(folder):
    return {path.stem.partition("-")[2] for path in (folder / "wandb").glob("*run-*/run-*.wandb")}


def test_offline_the_rows_stand_in_the_folder_under_one_id(tmp_path, open_logger, offline, capsys):
    logger = open_logger(**PROJECT)
    logger.write(1, {"loss": 2.5, "loss_by_country/gb": 2.0})
    logger.write(2, {"loss": 2.25})
    end(logger)
    first, second = logged(tmp_path)
    assert (first["_step"], first["loss"], first["loss_by_country/gb"]) == (1, 2.5, 2.0)
    assert (second["_step"], second["loss"]) == (2, 2.25)
    assert ids(tmp_path) == {(tmp_path / "wandb_id.txt").read_text()}
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "wandb:" in line.lower()] == []
    assert f"geo-nemo: W&B: {tmp_path}" in said[0]


def test_offline_steps_that_are_taken_again_stand_once(tmp_path, open_logger, offline):
    first = open_logger(**PROJECT)
    for step in (1, 2, 3, 4):
        first.write(step, {"loss": step})
    end(first, "failed")
    time.sleep(1.1)  # a session's folder is named by the second
    second = open_logger(2, **PROJECT)
    for step in (3, 4, 5, 6):
        second.write(step, {"loss": step})
    second.start(4, must_open=True)  # wound back
    for step in (5, 6, 7):
        second.write(step, {"loss": step})
    end(second)
    assert [(row["_step"], row["loss"]) for row in logged(tmp_path)] == [
        (step, step) for step in range(1, 8)
    ]
    assert len(ids(tmp_path)) == 1


def test_offline_rows_that_a_kill_took_are_told_again_and_those_before_too(
    tmp_path, open_logger, offline
):
    """W&B's process keeps rows in memory; killed, it leaves a file that ends where it ends."""
    first = open_logger(**PROJECT)
    for step in range(1, 6):
        first.write(step, {"loss": float(step)})
    end(first)
    (file,) = (tmp_path / "wandb").glob("*run-*/run-*.wandb")
    whole = file.read_bytes()
    cut = next(n for n in range(len(whole)) if len(rows_in(file, whole[:n])) == 2)
    file.write_bytes(whole[:cut])
    lines = [{"step": step - 1, "loss": float(step)} for step in range(1, 5)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    time.sleep(1.1)  # a session's folder is named by the second
    second = open_logger(4, **PROJECT)
    second.write(5, {"loss": 5.0})
    end(second)
    assert [(row["_step"], row["loss"]) for row in logged(tmp_path)] == [
        (step, step) for step in range(1, 6)
    ]


def rows_in(file, content):
    file.write_bytes(content)
    try:
        return wandb_file.rows(file)
    except AssertionError:  # not even the header
        return []


def test_offline_the_newest_step_is_found_in_a_long_file(tmp_path, open_logger, offline):
    """Rows that are cut by the borders of blocks, and a file of which only the end is read."""
    import random

    from geo_nemo.train.callbacks.loggers.wandb_files import last_step

    logger = open_logger(**PROJECT)
    shuffled = random.Random(0)
    for step in range(1, 400):
        words = {f"loss/{shuffled.random()}": shuffled.random() for _ in range(200)}
        logger.write(step, words)
    end(logger)
    (file,) = (tmp_path / "wandb").glob("*run-*/run-*.wandb")
    assert file.stat().st_size > 80 << 15
    run_id = (tmp_path / "wandb_id.txt").read_text()
    assert last_step(tmp_path / "wandb", run_id) == 399
    assert last_step(tmp_path / "wandb", "another") is None


def test_the_id_of_a_run_of_an_older_version_is_kept(tmp_path, open_logger, offline):
    (tmp_path / "wandb_id.txt").write_text("abc123de")
    logger = open_logger(5, **PROJECT)
    logger.write(6, {"loss": 1.0})
    end(logger)
    assert ids(tmp_path) == {"abc123de"}


def test_a_server_has_each_step_of_all_sessions_once(tmp_path, open_logger, server):
    first = open_logger(**PROJECT)
    for step in (1, 2, 3, 4):
        first.write(step, {"loss": step})
    end(first, "stopped")
    second = open_logger(2, must_open=False, **PROJECT)
    for step in (3, 4, 5, 6):
        second.write(step, {"loss": step})
    end(second)
    assert server.steps == [1, 2, 3, 4, 5, 6]
    assert {run["name"] for run in server.runs} == ids(tmp_path)
    assert server.states == [(True, 75), (True, 0)]
    assert json.loads(server.runs[0]["config"])["train"]["value"] == {"lr": 1e-3}


def test_what_the_server_did_not_get_before_a_kill_is_told_again(tmp_path, open_logger, server):
    logger = open_logger(**PROJECT)
    for step in (1, 2, 3, 4):
        logger.write(step, {"loss": step})
    end(logger)
    del server.rows[3:]  # as if the process had been killed in between
    again = open_logger(2, **PROJECT)
    for step in (3, 4, 5):
        again.write(step, {"loss": step})
    end(again)
    assert server.steps == [1, 2, 3, 4, 5]


def train(store, output, *settings):
    """A training of some steps by the command, its exit code, standard error, and seconds."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "geo_nemo", "train", *SMALL, "train.steps=4"]
    command += ["train.warmup_steps=1", "logging.every_steps=1", f"data.store={store}"]
    command += [f"output_dir={output}", *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    return done.returncode, done.stderr, time.monotonic() - begin


@pytest.mark.very_slow
def test_a_key_that_the_server_refuses_is_one_line_and_no_step_is_taken(
    tiny_store, tmp_path, server
):
    server.refuses = True
    code, errors, _ = train(tiny_store, tmp_path / "run", "logging.wandb_project=p")
    said = [line for line in errors.splitlines() if not line.startswith(("demo:", "index"))]
    assert (code, len(said)) == (2, 1), errors
    assert said[0].startswith(
        f"geo-nemo: logging.wandb_project: {server.address} refuses the key of WANDB_API_KEY (401)"
    )
    assert "wandb login" in said[0] and "WANDB_MODE=offline" in said[0]
    assert KEY not in errors
    assert not (tmp_path / "run" / "run.json").exists()
    assert not (tmp_path / "run" / "metrics.jsonl").read_text()


def test_a_key_that_is_refused_after_a_restart_does_not_stop_the_run(
    tmp_path, open_logger, server, capsys
):
    server.refuses = True
    logger = open_logger(10, must_open=False, **PROJECT)
    logger.write(11, {"loss": 1.0})
    end(logger)
    (said,) = capsys.readouterr().err.splitlines()
    assert "refuses the key of WANDB_API_KEY (401)" in said
    assert said.endswith("; the run goes on without it")


def test_no_server_at_a_first_start_is_one_line(open_logger, server):
    server.die()
    with pytest.raises(UserError, match=rf"{server.address} does not answer; WANDB_MODE=offline"):
        open_logger(**PROJECT)


@pytest.mark.very_slow
def test_a_server_that_dies_in_the_middle_holds_up_no_step_and_the_run_ends_well(
    tiny_store, tmp_path, server, monkeypatch
):
    """As a user would see it: the command ends with 0 and says what to do about what is missing."""
    settings = ("logging.wandb_project=p", "train.steps=12")
    command = [sys.executable, "-m", "geo_nemo", "train", *SMALL, "train.warmup_steps=1"]
    command += ["logging.every_steps=1", f"data.store={tiny_store}", f"output_dir={tmp_path}"]
    process = subprocess.Popen(
        [*command, *settings], stderr=subprocess.PIPE, text=True, env=os.environ
    )
    metrics = tmp_path / "metrics.jsonl"
    try:
        deadline = time.monotonic() + 200
        while not (metrics.exists() and len(metrics.read_bytes().splitlines()) >= 3):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        server.die()
        _, errors = process.communicate(timeout=200)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.returncode == 0, errors
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(12))
    # What stands outside of steps and saves, loggers and validation, took no time.
    assert max(line["timing"]["other"] for line in lines[1:]) < 1.0
    said = [line for line in errors.splitlines() if "wandb_project" in line]
    assert len(said) == 1, errors
    assert said[0].endswith("it did not end in time; the same command sends what it lacks")
    assert "Traceback" not in errors
