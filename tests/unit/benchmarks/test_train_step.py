"""The cost of a save and the train step beside a peer: measured on tiny models, told as rows."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.processes import Measured
from benchmarks.train_step import async_save, command, step_vs_hf
from benchmarks.train_step.llama import VOCAB_SIZE, Shape, run_of, tokens
from benchmarks.train_step.setting import Setting
from benchmarks.train_step.stepping import Stepper, median_cpu, steps_in_turn
from geo_nemo.config import Checkpoint, RunError

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
    expected = float(document_nll(named, run_of(TINY).model, drawn[:-1], drawn[1:]).mean())
    assert engine.train_step([batch(TINY, 0)], 0).loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.very_slow
def test_the_peer_takes_the_same_steps():
    """Of fp32 in another order: three steps of AdamW part them by a few 1e-6."""
    contenders = {
        name: lambda module=module: Stepper(module, TINY.to_json())
        for name, module in step_vs_hf.MODULES.items()
    }
    found = steps_in_turn(contenders, 1, {})
    ours, theirs = ([step["loss"] for step in found[name]] for name in step_vs_hf.MODULES)
    assert len(ours) == 3
    assert ours == pytest.approx(theirs, rel=2e-5)


class Told:
    """A stepper with given CPU seconds."""

    def __init__(self, name, cpu, order):
        self.name, self.cpu, self.order = name, iter(cpu), order

    def __enter__(self):
        return self

    def __exit__(self, *error): ...

    def step(self):
        self.order.append(self.name)
        try:
            return {"cpu": next(self.cpu), "wall": 1.0, "loss": 8.0}
        except StopIteration:
            raise RunError("it ended") from None


def test_steps_are_taken_in_turn_and_the_first_ones_do_not_count():
    order = []
    contenders = {
        "ours": lambda: Told("ours", [99, 99, 1, 2, 9], order),
        "peer": lambda: Told("peer", [99, 99, 4, 4, 4], order),
    }
    found = steps_in_turn(contenders, 3, {})
    assert order == ["ours", "peer", "peer", "ours"] * 2 + ["ours", "peer"]
    assert {name: median_cpu(steps) for name, steps in found.items()} == {"ours": 2, "peer": 4}


def test_a_peer_that_fails_is_told_and_ours_goes_on():
    order, reasons = [], {}
    contenders = {
        "ours": lambda: Told("ours", [1] * 5, order),
        "peer": lambda: Told("peer", [1], order),
    }
    found = steps_in_turn(contenders, 3, reasons)
    assert found.keys() == {"ours"} and len(found["ours"]) == 5
    assert reasons == {"peer": "failed: it ended"}


@pytest.mark.very_slow
def test_a_process_that_ends_is_named_with_its_last_words():
    told = pytest.raises(RunError, match=r"ours.step ended: .*JSON")
    with Stepper("benchmarks.train_step.ours.step", "no shape") as stepper, told:
        stepper.step()


def test_losses_and_speeds_are_in_the_row(tmp_path, monkeypatch):
    def given(contenders, count, reasons):
        assert count == 16
        return {
            name: [{"cpu": cpu, "wall": 1.0, "loss": loss} for loss in losses]
            for name, cpu, losses in (
                (step_vs_hf.OURS, 2.0, [8.0, 7.0, 6.0]),
                (step_vs_hf.PEER, 4.0, [8.0, 7.0007, 6.0]),
            )
        }

    monkeypatch.setattr(step_vs_hf, "steps_in_turn", given)
    monkeypatch.setattr(step_vs_hf, "reason_against", lambda module: "")
    (row,) = step_vs_hf.measure(Setting(tmp_path, quick=True, rounds=2))
    assert (row.metric, row.value, row.peer_value, row.ratio) == ("step_vs_hf", 128, 64, 2)
    assert row.note.endswith("the losses of 3 steps from the same weights differ by 1e-04 of "
                             "their size")  # fmt: skip


def test_without_transformers_the_row_says_so(tmp_path, monkeypatch):
    def given(contenders, count, reasons):
        assert list(contenders) == [step_vs_hf.OURS]
        return {step_vs_hf.OURS: [{"cpu": 1.0, "wall": 1.0, "loss": 8.0}] * 3}

    monkeypatch.setattr(step_vs_hf, "steps_in_turn", given)
    monkeypatch.setattr(step_vs_hf, "reason_against", lambda module: "not installed")
    (row,) = step_vs_hf.measure(Setting(tmp_path, quick=True, rounds=1))
    assert (row.value, row.peer_value, row.ratio, row.note) == (256, None, None, "not installed")
