"""The cost of a save and the train step beside a peer: measured on tiny models, told as rows."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.processes import Measured
from benchmarks.train_step import async_save, command, step_vs_hf
from benchmarks.train_step.llama import VOCAB_SIZE, Shape, time_steps, tokens
from benchmarks.train_step.setting import Setting
from geo_nemo.config import Checkpoint

ROOT = Path(__file__).parents[3]
TINY = Shape(hidden=128, layers=2, groups=1, seq_length=32)


def test_help_lists_the_metrics_with_an_example():
    call = [sys.executable, "-m", "benchmarks", "train_step", "--help"]
    shown = subprocess.run(call, capture_output=True, text=True, cwd=ROOT)
    assert shown.returncode == 0
    assert "Example: python -m benchmarks train_step" in shown.stdout
    assert all(name in " ".join(shown.stdout.split()) for name in command.METRICS)


@pytest.mark.parametrize("async_mode", [False, True], ids=["blocking", "async"])
def test_a_contender_measures_saves_that_end_whole(tmp_path, single_process, async_mode):
    from benchmarks.train_step.ours.save import measure

    shape = Shape(hidden=64, layers=1, groups=1, seq_length=32)
    settings = Checkpoint(async_save=async_mode, keep_last=1)
    found = measure(shape, tmp_path, settings, saves=2)
    assert found["bytes"] > 4 * 4 * 2 * 64 * VOCAB_SIZE  # weights, main, two moments; in, out
    assert found["waited"] > 0 and found["step"] > 0
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["latest", "step_00000003"]
    if not async_mode:
        assert found["slower"] == 0


def test_the_loop_s_wait_and_the_slower_steps_stand_beside_a_blocking_save(tmp_path, monkeypatch):
    figures = {
        "async": {"waited": 0.05, "slower": 0.35, "first": 0.5, "bytes": 2e6},
        "blocking": {"waited": 1.0, "slower": 0.0, "first": 1.0, "bytes": 2e6},
    }

    def run_module(module, mode, folder, *sizes):
        (tmp_path / folder).mkdir()
        return Measured(1.0, 1.0, figures[mode])

    monkeypatch.setattr(async_save, "run_module", run_module)
    waiting, whole = async_save.measure(Setting(tmp_path, quick=True, rounds=1))
    assert (waiting.metric, waiting.value, waiting.peer_value) == ("async_save_stall", 0.05, 1.0)
    assert waiting.ratio == pytest.approx(20)
    assert waiting.case == "2 MB, waiting"
    assert waiting.note.startswith("the loop sees 5.0% of a blocking save")
    assert whole.value == pytest.approx(0.4)
    assert whole.ratio == pytest.approx(2.5)
    assert list(tmp_path.iterdir()) == []


def test_our_model_with_the_peer_s_weights_has_plain_pytorch_s_losses(single_process):
    """Losses of about 9.7 nats in fp32: a spacing of 9.5e-7, and some roundings on the way."""
    from benchmarks.train_step.ours.model import batch, make_engine
    from tests.oracle.llama import document_nll

    engine = make_engine(TINY)
    named = {n: w.detach().double() for n, w in engine.module.named_parameters()}
    drawn = torch.from_numpy(tokens(TINY, 0))
    from benchmarks.train_step.llama import run_of

    expected = float(document_nll(named, run_of(TINY).model, drawn[:-1], drawn[1:]).mean())
    losses = time_steps(lambda n: engine.train_step([batch(TINY, n)], n).loss, 1)["losses"]
    assert losses[0] == pytest.approx(expected, rel=1e-6)
    assert len(losses) == 3 and losses[1] != losses[0]


def test_the_peer_takes_the_same_steps(single_process):
    """Of fp32 in another order: three steps of AdamW part them by a few 1e-6."""
    pytest.importorskip("transformers")
    found = step_vs_hf.in_turn(
        {
            name: lambda number, name=name: step_vs_hf.run_module(
                f"benchmarks.train_step.{name}", TINY.to_json(), "1"
            )
            for name in ("ours.step", "peers.llama_hf")
        },
        rounds=1,
    )
    ours, theirs = (found[name][0].said["losses"] for name in ("ours.step", "peers.llama_hf"))
    assert ours == pytest.approx(theirs, rel=2e-5)


def said(cpu: list[float], losses: list[float]) -> Measured:
    return Measured(9.0, 9.0, {"cpu": cpu, "wall": cpu, "losses": losses})


def test_the_median_step_of_all_rounds_is_compared_and_the_losses_are_held_together(
    tmp_path, monkeypatch
):
    answers = {
        "benchmarks.train_step.ours.step": said([1.0, 2.0, 9.0], [8.0, 7.0]),
        "benchmarks.train_step.peers.llama_hf": said([4.0, 4.0, 4.0], [8.0, 7.0007]),
    }
    monkeypatch.setattr(step_vs_hf, "run_module", lambda module, *given: answers[module])
    monkeypatch.setattr(step_vs_hf, "reason_against", lambda module: "")
    (row,) = step_vs_hf.measure(Setting(tmp_path, quick=True, rounds=2))
    assert (row.metric, row.value, row.peer_value, row.ratio) == ("step_vs_hf", 128, 64, 2)
    assert row.note.endswith("the losses of 2 steps from the same weights differ by 1e-04 of "
                             "their size")  # fmt: skip


def test_without_transformers_the_row_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(step_vs_hf, "run_module", lambda *given: said([1.0], [8.0]))
    monkeypatch.setattr(step_vs_hf, "reason_against", lambda module: "not installed")
    (row,) = step_vs_hf.measure(Setting(tmp_path, quick=True, rounds=1))
    assert (row.value, row.peer_value, row.ratio, row.note) == (256, None, None, "not installed")
