"""The average of the weights: as plain PyTorch has it, resumed to the bit, and free when it is off.

An update in fp32 rounds twice, each at 6e-8 of the size; of up to six, at 0.75 or less of what was
there, 1e-6 of the size is left, and the smallest weights count as 1e-7.
"""

import json
import shutil

import pytest
import torch
from pydantic import ValidationError

from geo_nemo.config import Parallel, UserError, Validation
from geo_nemo.export.scorer import load_scorer
from geo_nemo.train.callbacks import Validate
from geo_nemo.train.run_record import write_record
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.runs import finished, trainer, weights
from tests.support.tiny import tiny_run

DECAY = 0.75
AVERAGE = {"kind": "ema", "decay": DECAY}


class Kept:
    """The weights before the first step and after each, in double precision."""

    def __init__(self):
        self.after = {}

    def on_start(self, step):
        self._keep(step)

    def on_step(self, event):
        self._keep(event.step + 1)

    def on_end(self): ...

    def _keep(self, steps):
        self.after[steps] = {name: w.double() for name, w in weights(self.made).items()}


def expected_average(after, start, every, last=6):
    """By the definition, a step at a time."""
    average = dict(after[start])
    for steps in range(start + every, last + 1, every):
        average = {n: DECAY * a + (1 - DECAY) * after[steps][n] for n, a in average.items()}
    return average


def averaged(made):
    with made.average.applied():
        return weights(made)


def assert_close(measured, expected):
    assert measured.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.allclose(measured[name].double(), weight, rtol=1e-6, atol=1e-7), name


@pytest.mark.parametrize("distributed", [True, False], ids=["distributed optimizer", "plain"])
@pytest.mark.parametrize(("start", "every"), [(0, 1), (2, 1), (1, 2)])
def test_it_is_the_exponential_average_by_definition(
    tiny_store, tmp_path, single_process, distributed, start, every
):
    kept = Kept()
    run = tiny_run(
        tiny_store,
        tmp_path,
        average={**AVERAGE, "start": start, "every_steps": every},
        parallel=Parallel(distributed_optimizer=distributed),
    )
    kept.made = made = trainer(run, [kept])
    assert made.fit()
    expected = expected_average(kept.after, start, every)
    own = weights(made)
    assert_close(averaged(made), expected)
    with pytest.raises(AssertionError):  # the tolerance can tell the average from the weights
        assert_close(own, expected)
    for name, weight in weights(made).items():
        assert torch.equal(weight, own[name]), f"{name} is not as it was before the block"
    write_record(made.prepared, 1)
    read = dict(load_scorer(tmp_path, "cpu", weights="average").model.named_parameters())
    assert_close({name: weight.detach() for name, weight in read.items()}, expected)


@pytest.mark.parametrize("dtype", ["bf16", pytest.param("fp32", marks=pytest.mark.very_slow)])
def test_a_resumed_run_s_average_is_bit_for_bit_that_of_an_undisturbed_one(
    tiny_store, tmp_path, single_process, dtype
):
    changes = {"average": {**AVERAGE, "start": 2}, "precision": {"dtype": dtype}}
    whole = finished(tiny_store, tmp_path / "whole", **changes)
    shutil.copytree(tmp_path / "whole" / "checkpoints", tmp_path / "resumed" / "checkpoints")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step_00000006")
    resumed = trainer(tiny_run(tiny_store, tmp_path / "resumed", **changes))
    resumed.resume()
    assert (resumed.step, resumed.average.updates) == (3, 2)
    assert resumed.fit()
    assert resumed.average.updates == whole.average.updates == 5
    for here, there in zip(resumed.average._shadows, whole.average._shadows, strict=True):
        assert here.dtype == torch.float32
        assert torch.equal(here, there)


def test_before_it_begins_it_is_the_weights(tiny_store, tmp_path, single_process):
    made = finished(tiny_store, tmp_path, average={**AVERAGE, "start": 5})
    write_record(made.prepared, 1)
    shutil.rmtree(tmp_path / "checkpoints" / "step_00000006")
    own, average = (
        dict(load_scorer(tmp_path, "cpu", weights=which).model.named_parameters())
        for which in ("trained", "average")
    )
    for name, weight in own.items():
        assert torch.equal(weight, average[name]), name


def test_a_step_that_is_left_out_is_not_taken_up(tiny_store, tmp_path, single_process):
    run = tiny_run(tiny_store, tmp_path, average=AVERAGE)
    made = trainer(run)
    made.left_out.update({2, 3})
    assert made.fit()
    assert made.average.updates == 4


def test_it_does_not_change_the_training(tiny_store, tmp_path, single_process):
    plain = weights(finished(tiny_store, tmp_path / "plain"))
    settings = Validation(every_steps=2, documents=8, split="test", weights="average")
    run = tiny_run(tiny_store, tmp_path / "averaged", average=AVERAGE, validation=settings)
    made = trainer(run)
    path = tmp_path / "validation.jsonl"
    validate = Validate(path, made.prepared, made.engine, weights=made.average.applied)
    made.callbacks = [validate]
    assert made.fit()
    for name, weight in weights(made).items():
        assert torch.equal(weight, plain[name]), name
    last = json.loads(path.read_text().splitlines()[-1])
    double = {name: weight.double() for name, weight in averaged(made).items()}
    for condition, batches in validate.batches.items():
        loss, _, _ = batch_loss_and_gradients(double, made.run.model, batches)
        assert last["loss"][condition] == pytest.approx(loss, rel=1e-6)


def test_off_it_is_nowhere(tiny_store, tmp_path, single_process):
    from geo_nemo.train.checkpoint.state import sharded_state

    made = finished(tiny_store, tmp_path)
    assert made.average is None
    assert "average" not in made.prepared.fingerprint
    assert set(sharded_state(made.engine, is_loading=False)) == {"model", "optimizer", "schedule"}
    write_record(made.prepared, 1)
    with pytest.raises(UserError, match="was trained without an average: leave out weights="):
        load_scorer(tmp_path, "cpu", weights="average")


def test_another_average_than_the_checkpoint_s_is_refused_by_name(
    tiny_store, tmp_path, single_process
):
    finished(tiny_store, tmp_path, average=AVERAGE)
    for changed in ({}, {"average": {**AVERAGE, "decay": 0.9}}):
        with pytest.raises(UserError, match=r"^average changed since the checkpoint"):
            trainer(tiny_run(tiny_store, tmp_path, **changed)).resume()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"average": {"kind": "ema", "start": 6}}, "average.start 6 must be below train.steps 6"),
        ({"average": {"kind": "ema", "decay": 1.0}}, "average.decay"),
        ({"average": {"kind": "swa"}}, "average.kind"),
        ({"validation": {"weights": "average"}}, "needs an average: give average.kind=ema"),
    ],
)
def test_settings_that_cannot_be_are_told(tmp_path, changes, told):
    with pytest.raises(ValidationError, match=told.replace(".", r"\.")):
        tiny_run(tmp_path, tmp_path, **changes)
