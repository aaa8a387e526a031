"""Two GPUs at each layout against one: losses, exports, and a run that changes both on its way."""

import json

import pytest

from geo_nemo.config import Parallel
from tests.dist.launch import torchrun
from tests.gpu.layout_worker import LAST, LAYOUTS, MOVES, STEPS, forget_after, moved_run, run_at
from tests.gpu.runs import losses_of, skip_unless_two
from tests.gpu.test_export import exported

# fp32 sums in another order, over six steps from the same weights (tests/dist/test_layouts.py).
TOLERANCE = 1e-5
# AdamW divides by the root of a second moment near 0: 2% of one step of 1e-3.
WEIGHT = 2e-5
# In nats: what bf16 is off by on average (tests/gpu/test_model.py). Layouts round other partial
# sums, in FP8 by the same scales.
ROUNDING = 0.02


@pytest.fixture(scope="module")
def two(gpu, tiny_store, tmp_path_factory):
    """What both ranks told, and where they wrote."""
    skip_unless_two()
    output = tmp_path_factory.mktemp("layouts")
    torchrun(2, "tests.gpu.layout_worker", tiny_store, output)
    return [json.loads((output / f"told-{rank}.json").read_text()) for rank in (0, 1)], output


@pytest.fixture(scope="module")
def one(gpu, tiny_store, tmp_path_factory):
    """Losses of one process, and its weights as an export has them."""
    folder = tmp_path_factory.mktemp("one")
    run = run_at(tiny_store, folder / "run", Parallel())
    losses, _ = losses_of(run, gpu)
    return losses, exported(run, folder / "out", "fp32")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_are_those_of_one_process(two, one, layout):
    expected, _ = one
    for told in two[0]:
        seen = [step["loss"] for step in told[layout]]
        assert seen == pytest.approx(expected, rel=TOLERANCE)
    assert expected[-1] < expected[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_of_any_layout_is_exported_as_that_of_one_process(
    two, one, layout, tiny_store, tmp_path
):
    run = run_at(tiny_store, two[1] / layout, LAYOUTS[layout])
    seen, expected = exported(run, tmp_path / "out", "fp32"), one[1]
    assert seen.keys() == expected.keys()
    for name, weight in expected.items():
        assert (seen[name] - weight).abs().max() < WEIGHT, name
    name = "model.layers.0.mlp.up_proj.weight"
    assert (expected[name] - expected[name].roll(1, 0)).abs().max() > 100 * WEIGHT


def test_a_run_goes_on_at_other_layouts_and_precisions(two, gpu, tiny_store, tmp_path):
    """FP8 on two tensor-parallel ranks, BF16 on a pipeline, FP8 on two replicas, and on one.

    Beside it one process that changes its precision at the same steps.
    """
    from geo_nemo.train.fp8_scales import scales_of

    told, output = two
    assert [step["step"] for step in told[0]["moved"]] == list(range(STEPS))
    alone = []
    for step, precision in [*((step, precision) for step, _, precision in MOVES), LAST]:
        forget_after(tmp_path / "alone", step)
        losses, _ = losses_of(moved_run(tiny_store, tmp_path / "alone", precision), gpu)
        alone = alone[:step] + losses
    step, precision = LAST
    forget_after(output / "moved", step)
    last, trainer = losses_of(moved_run(tiny_store, output / "moved", precision), gpu)
    seen = [each["loss"] for each in told[0]["moved"]][:step] + last
    worst = max(abs(a - b) for a, b in zip(seen, alone, strict=True))
    print(f"figure: layouts and precisions changed, beside one process: {worst:.4f} nats at most")
    assert trainer.step == STEPS == len(seen) == len(alone)
    assert scales_of(trainer.engine.modules), "nothing is computed in FP8"
    assert seen == pytest.approx(alone, abs=ROUNDING)
    assert alone[0] - alone[-1] > 10 * ROUNDING, "a checkpoint that is lost would not be seen"
