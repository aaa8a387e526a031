"""Stages of other layouts in two real processes: the losses of one process, a leg after another.

Losses are fp32 sums in another order; over 6 steps from the same weights they stay within 1e-5.
"""

import json

import pytest

from geo_nemo.config import MetadataPolicy, Parallel, Stage, UserError
from geo_nemo.config.parallel import StageParallel
from geo_nemo.config.replay import Replay
from geo_nemo.train.setup import prepare
from tests.dist.exact import layout_run
from tests.dist.launch import launch
from tests.support.runs import Events, trainer
from tests.support.tiny import NO_METADATA, tiny_run

LONG = pytest.mark.very_slow


def stages(case, own_layouts=True):
    """The stages of a case; with the layout of the whole run in all, for one process.

    layouts: short sequences over two tensor ranks, then two replicas, then long over two context
    ranks. pipelines: two pipeline ranks, then with two chunks each, then two tensor ranks.
    """
    layouts = {
        "layouts": (StageParallel(tensor=2), None, StageParallel(context=2)),
        "pipelines": (
            StageParallel(pipeline=2), StageParallel(pipeline=2, virtual_pipeline=2),
            StageParallel(tensor=2, sequence_parallel=True),
        ),
    }[case]  # fmt: skip
    short, middle, long = layouts if own_layouts else (None, None, None)
    # The last one reads again what both have read, and more of it after it was stopped.
    replay = {"replay": Replay(fraction=0.5)} if case == "pipelines" else {}
    return {
        "short": Stage(fraction=0.34, metadata=MetadataPolicy(), seq_length=64, parallel=short),
        "middle": Stage(fraction=0.33, metadata=MetadataPolicy(), parallel=middle),
        "long": Stage(
            fraction=0.33, metadata=NO_METADATA, global_batch_size=4, parallel=long, **replay
        ),
    }


# Steps at whose end the run is stopped within a stage, beside the borders between layouts.
STOPS = {"layouts": (), "pipelines": (4,)}
# Legs: layout (tensor, pipeline, chunks, context) and steps.
LEGS = {
    "layouts": [([2, 1, 1, 1], [0, 1]), ([1, 1, 1, 1], [2, 3]), ([1, 1, 1, 2], [4, 5])],
    "pipelines": [
        ([1, 2, 1, 1], [0, 1]), ([1, 2, 2, 1], [2, 3]), ([2, 1, 1, 1], [4]), ([2, 1, 1, 1], [5]),
    ],
}  # fmt: skip


@pytest.fixture(scope="module", params=["layouts", pytest.param("pipelines", marks=LONG)])
def case(request):
    return request.param


@pytest.fixture(scope="module")
def legs(case, tiny_store, tmp_path_factory):
    output = tmp_path_factory.mktemp("stages")
    launch(2, "tests.dist.stages_worker", tiny_store, output, case)
    return json.loads((output / "legs.json").read_text())


def test_each_leg_is_taken_in_its_layout_by_a_process_of_its_own(case, legs):
    assert [(leg["layout"], leg["steps"]) for leg in legs] == LEGS[case]
    assert [leg["outcome"] for leg in legs] == [*["stopped"] * (len(legs) - 1), "finished"]
    assert legs[0]["boundary"] == "stage middle has another parallel layout"


def test_losses_are_those_of_one_process(case, legs, tiny_store, tmp_path, single_process):
    events = Events()
    run = layout_run(tiny_store, tmp_path, Parallel(), stages=stages(case, own_layouts=False))
    assert trainer(run, [events]).fit()
    expected = [event.report.loss for event in events.seen]
    found = [loss for leg in legs for loss in leg["losses"]]
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_layout_that_a_stage_cannot_have_is_one_line(tiny_store, tmp_path):
    stages = {
        "one": Stage(fraction=0.5, metadata=NO_METADATA),
        "other": Stage(fraction=0.5, metadata=NO_METADATA, parallel=StageParallel(tensor=3)),
    }
    with pytest.raises(UserError, match=r"stage other, .*not a multiple of parallel.tensor=3"):
        prepare(tiny_run(tiny_store, tmp_path, stages=stages), 2)
    apart = stages["other"].model_copy(update={"parallel": StageParallel(tensor=2)})
    with pytest.raises(UserError, match=r"stage other, .* this job has 1"):
        prepare(tiny_run(tiny_store, tmp_path, stages=stages | {"other": apart}), 1)
