"""Two real processes (gloo) at each layout against one process: same losses, same weights.

Losses are fp32 sums in another order; over 6 steps from the same weights they stay within 1e-5.
"""

import json

import pytest
import torch

from geo_nemo.config import Parallel
from geo_nemo.train.setup import prepare
from tests.dist.exact import BATCHES, layout_run
from tests.dist.launch import launch
from tests.dist.worker import (
    DETERMINISTIC,
    GRADIENTS,
    LAYOUTS,
    LONGER,
    LONGER_VARIANTS,
    VARIANTS,
    Recorder,
)

TOLERANCE = 1e-5
CPU = torch.device("cpu")


def marked(cases, longer):
    """Names of cases; the longer ones are for make test-slow."""
    slow = pytest.mark.very_slow
    return [pytest.param(name, marks=slow) if name in longer else name for name in cases]


def trainer(run, callbacks=()):
    from geo_nemo.train.loop import Trainer

    return Trainer(prepare(run, world_size=1), CPU, callbacks)


@pytest.fixture(scope="module")
def two_ranks(tiny_store, tmp_path_factory):
    """Folder with what two processes saw and saved at every layout."""
    output = tmp_path_factory.mktemp("two_ranks")
    launch(2, "tests.dist.worker", tiny_store, output)
    return output


@pytest.fixture(scope="module")
def one_rank(tiny_store, tmp_path_factory, single_process):
    """A finished trainer of one process, and the steps that it saw."""
    recorder = Recorder()
    output = tmp_path_factory.mktemp("one_rank")
    run = layout_run(tiny_store, output, Parallel(distributed_optimizer=False))
    recorder.trainer = finished = trainer(run, [recorder])
    finished.fit()
    return finished, recorder.steps


@pytest.mark.parametrize("layout", GRADIENTS)
@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("rank", [0, 1])
def test_loss_and_gradients_of_two_ranks_equal_the_oracle(rank, batches, layout, two_ranks):
    """Each rank has the whole batch's loss, by country too, and the gradients of all its weights.

    Tolerances as for one process (tests/unit/train/test_loss_oracle.py).
    """
    told = json.loads((two_ranks / f"oracle-{rank}.json").read_text())[layout][batches]
    assert told["loss"] <= 1e-6
    assert told["gradient"] <= 1e-6
    assert told["by_group"] <= 1e-6
    assert told["evaluated"] <= 1e-3  # of up to some hundred nats in fp32
    assert told["counts_by_group"] == 0
    assert told["compared"] == told["parameters"]
    assert min(told["largest_gradients"]) > 1e-4, "no gradient to compare"


def test_a_prefix_is_on_one_context_parallel_rank(two_ranks):
    """The case that the oracle was asked about: one of the ranks trains on no token of its own."""
    told = [json.loads((two_ranks / f"oracle-{rank}.json").read_text())["cp2"] for rank in (0, 1)]
    counted = [each["trained tokens on one rank"]["counted"] for each in told]
    assert counted == [0, 160]
    assert all(each["ragged"]["counted"] > 0 for each in told)


# Under PP the last stage, rank 1, knows the loss; the embedding's gradient is on the first. Of two
# ranks that share a sequence, the first is named.
BAD_BATCHES = {"pp2_vpp2": (1, 0), "cp2": (0, 0)}


@pytest.mark.parametrize("layout", BAD_BATCHES)
def test_a_bad_batch_is_found_by_every_rank(layout, two_ranks):
    loss_at, gradient_at = BAD_BATCHES[layout]
    for rank in (0, 1):
        said = json.loads((two_ranks / f"bad-{rank}.json").read_text())[layout]
        place = "micro-batch 1 (samples [2, 3]); look at the batch"
        assert f"the loss is not finite at step 3, rank {loss_at}, {place}" in said[0]
        assert f"though the loss is finite: rank {gradient_at}, {place}" in said[1]


@pytest.mark.parametrize("layout", DETERMINISTIC)
@pytest.mark.parametrize("rank", [0, 1])
def test_two_deterministic_runs_are_equal_in_every_bit(rank, layout, two_ranks):
    first, second = json.loads((two_ranks / f"twice-{rank}.json").read_text())[layout]
    assert first == second
    steps, digest = first
    assert len(steps) == 6
    assert len(digest) == 64
    assert steps[0]["loss"] != steps[-1]["loss"]


@pytest.mark.parametrize("layout", marked(LAYOUTS, LONGER))
def test_losses_equal_those_of_one_process(layout, two_ranks, one_rank):
    seen = json.loads((two_ranks / f"{layout}.json").read_text())
    _, expected = one_rank
    assert len(seen) == len(expected) == 6
    for step, (here, there) in enumerate(zip(seen, expected, strict=True)):
        assert here["trained_tokens"] == there["trained_tokens"] > 0, step
        assert here["counts"] == there["counts"], step
        assert here["loss"] == pytest.approx(there["loss"], rel=TOLERANCE), step
        for norm in ("grad_norm", "param_norm", "average_norm"):
            assert here[norm] == pytest.approx(there[norm], rel=TOLERANCE), (step, norm)
        assert here["sums"] == pytest.approx(there["sums"], rel=TOLERANCE), step
    assert expected[-1]["loss"] < expected[0]["loss"]


@pytest.mark.parametrize("variant", marked(VARIANTS, LONGER_VARIANTS))
def test_other_losses_and_shapes_are_those_of_one_process(
    variant, two_ranks, tiny_store, tmp_path, single_process
):
    seen = json.loads((two_ranks / f"{variant}.json").read_text())
    recorder = Recorder()
    run = layout_run(tiny_store, tmp_path, Parallel(distributed_optimizer=False))
    recorder.trainer = whole = trainer(VARIANTS[variant][1](run), [recorder])
    whole.fit()
    for here, there in zip(seen, recorder.steps, strict=True):
        for number in ("loss", "grad_norm", "param_norm"):
            assert here[number] == pytest.approx(there[number], rel=TOLERANCE), number


@pytest.mark.parametrize("layout", marked(LAYOUTS, LONGER))
def test_a_checkpoint_of_any_layout_loads_in_one_process(
    layout, two_ranks, one_rank, tiny_store, single_process
):
    """Weights, their average, and what the next step needs: its loss is that of one process."""
    whole, _ = one_rank
    optimizer = LAYOUTS[layout].distributed_optimizer
    one = Parallel(distributed_optimizer=optimizer)
    run = layout_run(tiny_store, two_ranks / layout, one)
    loaded = trainer(run)
    loaded.resume()
    assert loaded.step == 6
    expected = dict(whole.engine.module.named_parameters())
    # AdamW divides by the root of a second moment near 0, so that a rounding of a gradient can
    # move a weight by a fraction of the learning rate (1e-3); 2% of one step bounds it here.
    for name, weight in loaded.engine.module.named_parameters():
        assert (weight - expected[name]).abs().max() < 2e-5, name
    average = averaged(whole)
    for name, weight in averaged(loaded).items():
        assert (weight - average[name]).abs().max() < 2e-5, name
        assert "norm" in name or not torch.equal(weight, expected[name]), name
    batches = next_batches(whole)
    again = loaded.engine.forward_backward(batches)
    reference = whole.engine.forward_backward(batches)
    for here, there in zip(again, reference, strict=True):
        assert torch.allclose(here["sums"], there["sums"], rtol=TOLERANCE)
    moments = optimizer_moments(loaded.engine)
    assert moments == pytest.approx(optimizer_moments(whole.engine), rel=1e-3)


@pytest.mark.parametrize("layout", marked(LAYOUTS, LONGER))
def test_a_checkpoint_s_weights_are_right_without_its_optimizer(
    layout, two_ranks, one_rank, single_process
):
    """As evaluation reads them. Under overlap, ranks hold each other's old weights until asked."""
    from geo_nemo.train.checkpoint.load import newest, read_state

    whole, _ = one_rank
    module = whole.engine.module
    expected = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    read = {"model": module.sharded_state_dict()}
    state = read_state(read, newest(two_ranks / layout / "checkpoints"))["model"]
    for name, weight in expected.items():
        assert (state[name] - weight).abs().max() < 2e-5, name
    module.load_state_dict(expected, strict=False)


def averaged(made):
    with made.average.applied():
        return {n: w.detach().clone() for n, w in made.engine.module.named_parameters()}


def next_batches(finished):
    from geo_nemo.data.batches import stack_sequences

    sequences = finished.prepared.dataset(finished.prepared.stages[-1])
    return [stack_sequences([sequences[0], sequences[1]], [0, 1])]


def optimizer_moments(engine):
    """Norms of both moments over all parameters, and the step that AdamW stands at."""
    inner = [o.optimizer for o in engine.optimizer.chained_optimizers]
    states = [state for o in inner for state in o.state.values()]
    steps = {group["step"] for o in inner for group in o.param_groups if group["params"]}
    assert steps == {6}
    return [
        float(torch.stack([state[key].norm() ** 2 for state in states]).sum().sqrt())
        for key in ("exp_avg", "exp_avg_sq")
    ]


def test_the_scorer_of_a_run_under_tensor_parallelism_scores_as_one_process_does(
    two_ranks, one_rank, tiny_store, single_process
):
    """The checkpoint of two tensor-parallel ranks, in one process, against the run of one."""
    from geo_nemo.export.scorer import load_scorer
    from geo_nemo.train.run_record import write_record

    whole, _ = one_rank
    run_dir = two_ranks / "tp2"
    write_record(prepare(layout_run(tiny_store, run_dir, Parallel()), world_size=1), 2)
    scorer = load_scorer(run_dir, device="cpu")
    reference = type(scorer)(whole.engine.module, whole.run, scorer.vocab_size, CPU)
    sequences = whole.prepared.dataset(whole.prepared.stages[0])
    for index in range(3):
        measured, expected = scorer.nll(sequences[index]), reference.nll(sequences[index])
        assert abs(measured / expected - 1).max() < TOLERANCE
        assert len(measured) == 128
