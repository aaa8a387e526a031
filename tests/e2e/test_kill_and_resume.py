"""A run that is killed again and again ends bit for bit like one that never was."""

import json
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from geo_nemo.train.callbacks.metrics import MACHINE_KEYS
from tests.support.command import SMALL
from tests.support.processes import Process

STEPS = 24
SETTINGS = (
    *SMALL,
    f"train.steps={STEPS}",
    "train.warmup_steps=2",
    "train.micro_batch_size=4",
    "checkpoint.every_steps=4",
    "logging.every_steps=1",
    "logging.batch_digest=true",
    "deterministic=true",
)


def start(store, output, *changes):
    places = (f"data.store={store}", f"output_dir={output}")
    return Process("geo_nemo", "train", *SETTINGS, *changes, *places)


def finish(store, output):
    process = start(store, output)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]


def metrics(output: Path) -> list[dict]:
    try:
        lines = (output / "metrics.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("}")]


def signal_at_step(process, output, step, number):
    """Send `number` once the metrics hold `step`, and wait for the end."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        seen = metrics(output)
        if seen and seen[-1]["step"] >= step:
            break
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def weights(output):
    """Every weight of the newest checkpoint."""
    from geo_nemo.export.scorer import load_scorer

    return dict(load_scorer(output, device="cpu").model.named_parameters())


def timeless(line: dict) -> dict:
    return {key: value for key, value in line.items() if key not in MACHINE_KEYS}


@pytest.fixture(scope="module")
def undisturbed(tiny_store, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed")
    finish(tiny_store, output)
    return output


def assert_same_run(output, undisturbed):
    seen, expected = metrics(output), metrics(undisturbed)
    assert [line["step"] for line in seen] == list(range(STEPS))
    for here, there in zip(seen, expected, strict=True):
        assert timeless(here) == timeless(there)
    assert (output / "ledger.json").read_bytes() == (undisturbed / "ledger.json").read_bytes()
    reference = weights(undisturbed)
    for name, weight in weights(output).items():
        assert torch.equal(weight, reference[name]), name


def test_killed_at_random_steps_it_ends_bit_for_bit_the_same(
    tiny_store, undisturbed, tmp_path, single_process
):
    # The first half only: on a slow machine the run may be steps ahead of who looks at it.
    kills = sorted(random.SystemRandom().sample(range(STEPS // 2), 3))
    print(f"killed at steps {kills}")
    for step in kills:
        code, _ = signal_at_step(start(tiny_store, tmp_path), tmp_path, step, signal.SIGKILL)
        assert code == -signal.SIGKILL
    finish(tiny_store, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def test_asked_to_stop_it_saves_says_so_and_goes_on_later(
    tiny_store, undisturbed, tmp_path, single_process
):
    code, errors = signal_at_step(start(tiny_store, tmp_path), tmp_path, 5, signal.SIGTERM)
    assert code == 75
    line = errors.strip().splitlines()[-1]
    assert line.startswith("geo-nemo: stopped by SIGTERM at step ")
    assert "The same command goes on from there" in line
    stopped_at = metrics(tmp_path)[-1]["step"] + 1
    assert (tmp_path / "checkpoints" / f"step_{stopped_at:08d}" / "geo_nemo.json").exists()
    finish(tiny_store, tmp_path)
    assert_same_run(tmp_path, undisturbed)


def test_a_second_process_in_the_same_folder_is_refused(tiny_store, tmp_path):
    first = start(tiny_store, tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        # Stopped, it keeps its lock: without this it may end while the second one starts.
        first.send_signal(signal.SIGSTOP)
        assert first.poll() is None
        second = start(tiny_store, tmp_path)
        _, errors = second.communicate(timeout=300)
        assert second.returncode == 2
        assert (
            errors.strip()
            .splitlines()[-1]
            .startswith(f"geo-nemo: another process is writing in {tmp_path}")
        )
    finally:
        first.kill()
        first.communicate()


def test_a_finished_run_is_left_as_it_is(tiny_store, undisturbed):
    before = metrics(undisturbed)
    finish(tiny_store, undisturbed)
    assert metrics(undisturbed) == before


def test_a_training_that_the_checkpoint_refuses_leaves_the_run_s_record(tiny_store, undisturbed):
    before = (undisturbed / "run.json").read_bytes()
    process = start(tiny_store, undisturbed, "train.lr=0.5")
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert errors.strip().splitlines()[-1].startswith("geo-nemo: train.lr changed since")
    assert (undisturbed / "run.json").read_bytes() == before
