"""bf16 on a CPU: it trains, its loss is that of fp32 within rounding, and it resumes exactly."""

import pytest
import torch

from geo_nemo.config import Precision
from geo_nemo.train.micro_batch import to_device
from tests.support.runs import CPU, Events, finished, trainer, weights
from tests.support.tiny import tiny_run

BF16 = {"precision": Precision(dtype="bf16")}
# Half the spacing of bf16, which keeps 8 bits.
ROUNDING = 2.0**-9


def losses(events):
    return [event.report.loss for event in events.seen]


def test_its_losses_are_those_of_fp32_within_rounding(tiny_store, tmp_path, single_process):
    """A loss moves by at most twice what a logit does. A logit is the end of a path of 8 rounded
    results a layer, and 3 outside; each rounding moves it by at most 2^-9 of the largest."""
    exact, rounded = Events(), Events()
    reference = finished(tiny_store, tmp_path / "fp32", [exact])
    made = finished(tiny_store, tmp_path / "bf16", [rounded], **BF16)
    tensors = to_device(exact.seen[-1].batches[0], CPU)
    with torch.no_grad():
        logits = reference.engine.module(
            tensors["tokens"],
            tensors["position_ids"],
            None,
            packed_seq_params=tensors["packed_seq_params"],
        )
    roundings = 8 * made.run.model.num_layers + 3
    tolerance = 2 * roundings * ROUNDING * float(logits.abs().max())
    assert tolerance < 0.2
    differences = [abs(a - b) for a, b in zip(losses(rounded), losses(exact), strict=True)]
    assert max(differences) < tolerance
    assert max(differences) > 1e-6, "bf16 was not used"
    assert losses(rounded)[-1] < losses(rounded)[0] - 0.05


def test_weights_are_bf16_with_fp32_masters(tiny_store, tmp_path, single_process):
    made = trainer(tiny_run(tiny_store, tmp_path, **BF16))
    assert {w.dtype for w in made.engine.module.parameters()} == {torch.bfloat16}
    masters = [
        p for o in made.engine.optimizer.chained_optimizers for g in o.param_groups
        for p in g["params"]
    ]  # fmt: skip
    assert {p.dtype for p in masters} == {torch.float32}


def test_a_resumed_run_ends_as_one_that_went_through(tiny_store, tmp_path, single_process):
    """Needs the fp32 masters in the checkpoint: from bf16 weights it would drift."""
    whole = finished(tiny_store, tmp_path / "whole", **BF16)

    class Stop(Events):
        def on_step(self, event):
            if event.step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(tiny_run(tiny_store, tmp_path, **BF16), [Stop()]).fit()
    again = finished(tiny_store, tmp_path, **BF16)
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(again)[name]), name
