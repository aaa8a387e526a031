"""Weights of groups by gradient alignment, beside plain PyTorch and NumPy in double precision."""

import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from geo_nemo.cli.learn_weights import command
from geo_nemo.config import MetadataPolicy, Run, Select, Stage, UserError
from geo_nemo.config.load import load_config
from geo_nemo.train import domain_weights
from geo_nemo.train.domain_weights import DomainWeights, of_group, proxy_step
from geo_nemo.train.engine import Engine
from geo_nemo.train.proxy import learnt_weights
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.batches import ragged_batches
from tests.support.tiny import tiny_run

VOCAB_SIZE = 640


def test_weights_follow_their_formula_and_what_is_learnt_is_their_mean():
    weights = DomainWeights(3, mu=0.5)
    first = weights.update(np.array([2.0, 0.0, -1.0]), lr=0.1)
    exact = np.exp(0.2 * np.array([2.0, 0, -1]))
    np.testing.assert_allclose(first, exact / exact.sum(), rtol=1e-12)
    second = weights.update(np.array([0.0, 5.0, 0.0]), lr=0.1)
    exact = first * np.exp(0.2 * np.array([0.0, 5, 0]))
    np.testing.assert_allclose(second, exact / exact.sum(), rtol=1e-12)
    np.testing.assert_allclose(weights.mean, (first + second) / 2, rtol=1e-12)
    alone = DomainWeights(2, mu=1)
    with np.errstate(divide="raise"):
        assert alone.update(np.array([1e9, 0.0]), lr=1).tolist() == [1, 0]
        assert alone.update(np.array([0.0, 1.0]), lr=1).tolist() == [1, 0]


def test_a_step_has_the_alignments_and_the_gradient_of_the_oracle(single_process):
    run = tiny_run("store", "out")
    run = run.model_copy(update={"train": run.train.model_copy(update={"clip_grad": 0.0})})
    engine = Engine(run, VOCAB_SIZE, 3, torch.device("cpu"))
    engine.schedule.step(1)  # in the warm-up, the rate of the first step is small but not 0
    batches = ragged_batches(seed=1, vocab_size=VOCAB_SIZE)
    plain = {name: w.detach().double() for name, w in engine.module.named_parameters()}
    found, losses = [], []
    for group in range(3):
        loss, gradients, _ = batch_loss_and_gradients(plain, run.model, of_group(batches, group))
        found.append(gradients)
        losses.append(loss)
    total = {name: sum(each[name] for each in found) for name in plain}
    alignment = [sum(float((each[n] * total[n]).sum()) for n in plain) for each in found]
    lr = engine.optimizer.param_groups[0]["lr"]
    exact = np.exp(lr / 1e-4 * np.array(alignment))

    weights = DomainWeights(3, mu=1e-4)
    told = proxy_step(engine, batches, weights, [0, 1, 2])

    assert lr > 0 and np.ptp(exact / exact.sum()) > 0.01
    np.testing.assert_allclose(weights.now, exact / exact.sum(), rtol=1e-4)
    np.testing.assert_allclose([told[group] for group in range(3)], losses, rtol=1e-6)
    for name, weight in engine.module.named_parameters():
        mixed = sum(alpha * each[name] for alpha, each in zip(weights.now, found, strict=True))
        assert (weight.main_grad.double() - mixed).abs().max() <= 1e-6, name
        assert not torch.equal(weight.detach().double(), plain[name]), name


def test_a_group_that_a_batch_lacks_is_passed_over(single_process):
    engine = Engine(tiny_run("store", "out"), VOCAB_SIZE, 3, torch.device("cpu"))
    batches = ragged_batches(seed=1, vocab_size=VOCAB_SIZE)
    for batch in batches:
        batch.group_ids[batch.group_ids == 1] = 0
    weights = DomainWeights(3, mu=0.05)
    assert set(proxy_step(engine, batches, weights, [0, 1, 2])) == {0, 2}
    assert weights.now.sum() == pytest.approx(1)


def proxy_of(store, output):
    return ["experiment=demo", f"data.store={store}", f"output_dir={output}",
            "data.seq_length=128", "train.steps=4", "train.warmup_steps=1",
            "train.global_batch_size=8", "train.micro_batch_size=4", "model.num_layers=1",
            "device=cpu"]  # fmt: skip


def test_a_place_that_cannot_be_written_is_said_before_the_steps(tmp_path):
    """There is no store to learn from yet."""
    (tmp_path / "ours").touch()
    out = tmp_path / "ours" / "sampling" / "learnt.yaml"
    asked = [*proxy_of(tmp_path / "none", tmp_path / "proxy"), "--out", str(out)]
    found = CliRunner().invoke(command, asked)
    assert isinstance(found.exception, UserError)
    assert f"cannot write {out.parent}: Not a directory" in str(found.exception)


@pytest.mark.parametrize("mu", ["0.05", "1e-9"])
def test_an_ordinary_run_reads_the_recipe_that_the_command_writes(
    tiny_store, tmp_path, monkeypatch, single_process, mu
):
    """Also where weights come to 0, as of groups that hurt the others."""
    out = tmp_path / "ours" / "sampling" / "learnt.yaml"
    settings = proxy_of(tiny_store, tmp_path / "proxy")
    asked = [*settings, "--by", "continent", "--out", str(out)]
    result = CliRunner().invoke(command, [*asked, "--mu", mu], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    # Of the four steps three are the first stage's.
    assert "(DoGE) in 3 steps of demo." in out.read_text()
    monkeypatch.setenv("GEO_NEMO_RECIPES", str(tmp_path / "ours"))
    read = load_config("train", Run, [*settings, "sampling@stages.condition.sampling=learnt"])
    sampling = read.stages["condition"].sampling
    assert sampling.by == "continent" and len(sampling.weights) > 1
    assert sum(sampling.weights.values()) == pytest.approx(1, abs=1e-5)
    again = CliRunner().invoke(command, asked)
    assert isinstance(again.exception, UserError) and "is there already" in str(again.exception)


def test_what_is_weighed_are_the_groups_of_the_stage_by_its_own_batches(
    tiny_store, tmp_path, single_process, monkeypatch
):
    sizes, told = [], []

    def step(engine, batches, *more):
        sizes.append([len(batch.tokens) for batch in batches])
        return proxy_step(engine, batches, *more)

    monkeypatch.setattr(domain_weights, "proxy_step", step)
    stage = Stage(
        fraction=1.0, metadata=MetadataPolicy(), global_batch_size=4, micro_batch_size=2,
        select=Select(continents=("Europe",)),
    )  # fmt: skip
    run = tiny_run(tiny_store, tmp_path, stages={"one": stage})
    found = learnt_weights(run, 0.05, lambda *done: told.append(done))
    assert sorted(found) == ["gb", "ie"] and sum(found.values()) == pytest.approx(1)
    assert sizes == [[2, 2]] * 6 and told[-1] == ("proxy", 6, 6)


@pytest.mark.parametrize(
    ("by", "message"),
    [("country,continent", "--by country,continent: .* of one field"), ("host]", "cannot read")],
)
def test_weights_are_by_one_field(tiny_store, tmp_path, by, message):
    out = tmp_path / "ours" / "sampling" / "learnt.yaml"
    asked = [*proxy_of(tiny_store, tmp_path / "proxy"), "--by", by, "--out", str(out)]
    found = CliRunner().invoke(command, asked)
    assert isinstance(found.exception, UserError)
    assert re.search(message, str(found.exception)) and not out.parent.exists()
