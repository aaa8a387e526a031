"""When one of two ranks fails, both say the same, name the right rank, and none hangs."""

import json

import pytest
import torch

from tests.dist.failing_worker import INITIAL, LAYOUTS, slices
from tests.dist.launch import launch


@pytest.fixture(scope="module")
def output(tiny_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("failing")
    launch(2, "tests.dist.failing_worker", tiny_store, folder, timeout=180)
    return folder


@pytest.fixture(scope="module")
def said(output):
    """What each rank said, [rank][scenario]."""
    return [json.loads((output / f"said_{rank}.json").read_text()) for rank in range(2)]


# Under PP the loss is known to the last stage, rank 1; a NaN of the embedding is a bad gradient
# on the first stage, rank 0. Under TP both ranks hold it, and the first is named.
LOSS_AT = {
    "dp": "rank 1, micro-batch 1 (samples [102, 103])",
    "tp": "rank 0, micro-batch 1 (samples [2, 3])",
    "pp": "rank 1, micro-batch 1 (samples [2, 3])",
}
GRADIENT_AT = {**LOSS_AT, "pp": "rank 0, micro-batch 1 (samples [2, 3])"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_loss_that_is_not_finite_is_named_alike_on_every_rank(said, layout):
    expected = f"BadStepError: the loss is not finite at step 3, {LOSS_AT[layout]}; "
    for rank in range(2):
        assert said[rank][f"loss_{layout}"]["said"].startswith(expected)
        assert said[rank][f"loss_{layout}"]["unchanged"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_gradient_that_is_not_finite_is_named_alike_on_every_rank(said, layout):
    expected = (
        "BadStepError: the gradient norm is nan at step 3, though the loss is finite: "
        f"{GRADIENT_AT[layout]}; "
    )
    for rank in range(2):
        assert said[rank][f"gradient_{layout}"]["said"].startswith(expected)
        assert said[rank][f"gradient_{layout}"]["unchanged"]


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_disk_that_is_full_for_one_rank_stops_both_and_spoils_nothing(said, output, kind):
    here, there = (said[rank][f"full_disk_{kind}"] for rank in range(2))
    assert here == there
    assert here["said"].startswith(
        f"UserError: cannot write the checkpoint {output}/{kind}/checkpoints/step_00000009: "
        "File too large, with "
    )
    assert here["left"] == ["latest", "step_00000003", "step_00000006"]
    assert here["again"] == "nothing"
    assert here["whole"] == f"{output}/{kind}/checkpoints/step_00000009"


def test_a_torn_shard_is_named_once_and_both_ranks_go_on_from_the_one_before(said, output):
    here, there = (said[rank]["torn_shard"] for rank in range(2))
    assert here["said"] == there["said"] == "nothing"
    assert here["step"] == there["step"] == 6
    path = f"{output}/async/checkpoints/step_00000009"
    (line,) = here["lines"]
    assert line.startswith(f"the checkpoint {path} is not whole: __1_0.distcp has 500 bytes of ")
    assert line.endswith("; step_00000006 is used")
    assert there["lines"] == []


def test_where_every_checkpoint_is_damaged_both_ranks_say_the_same(said, output):
    here, there = (said[rank]["changed_shards"]["said"] for rank in range(2))
    assert here == there
    assert here.startswith(f"UserError: no checkpoint in {output}/async/checkpoints is whole: ")
    assert "step_00000006 (__0_0.distcp was changed since it was written)" in here


@pytest.mark.parametrize("layout", INITIAL)
def test_initial_weights_of_every_layout_are_slices_of_the_same_whole(
    output, layout, single_process
):
    from geo_nemo.config import Parallel

    wholes = {(key, offset): data for key, offset, _, data in slices(Parallel())}
    covered = {place: torch.zeros_like(data, dtype=torch.int) for place, data in wholes.items()}
    smaller = 0
    for rank in range(2):
        for key, offset, shape, data in torch.load(output / f"{layout}_{rank}.pt"):
            extra = len(shape) - data.ndim
            place = next(
                p for p in wholes if p[0] == key and p[1][:extra] == offset[:extra]
                and inside(offset[extra:], p[1][extra:], wholes[p].shape)
            )  # fmt: skip
            index = tuple(
                slice(start - base, start - base + size)
                for start, base, size in zip(
                    offset[extra:], place[1][extra:], data.shape, strict=True
                )
            )
            assert torch.equal(wholes[place][index], data), (key, offset)
            covered[place][index] += 1
            smaller += data.shape != wholes[place].shape
    assert all(count.min() >= 1 for count in covered.values())
    assert (smaller > 0) == (layout != "pp")


def inside(start, base, shape):
    return all(b <= s < b + n for s, b, n in zip(start, base, shape, strict=True))
