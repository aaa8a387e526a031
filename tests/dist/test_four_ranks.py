"""Layouts of several dimensions at once on four processes: `make test-slow`.

On two cores they take minutes, which `make test` does not have.
"""

import json
import os

import pytest

from geo_nemo.config import Parallel
from tests.dist.exact import BATCHES, layout_run
from tests.dist.four_worker import LAYOUTS
from tests.dist.launch import launch
from tests.dist.test_layouts import TOLERANCE, trainer
from tests.dist.worker import Recorder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("GEO_NEMO_SLOW_TESTS") != "1", reason="for make test-slow: takes minutes"
    ),
]


@pytest.fixture(scope="module")
def four_ranks(tiny_store, tmp_path_factory):
    """Folder with what four processes saw and saved at every layout."""
    output = tmp_path_factory.mktemp("four_ranks")
    launch(4, "tests.dist.four_worker", tiny_store, output, timeout=1800)
    return output


@pytest.fixture(scope="module")
def one_rank(tiny_store, tmp_path_factory, single_process):
    """The steps that one process saw."""
    recorder = Recorder()
    output = tmp_path_factory.mktemp("one_rank")
    run = layout_run(tiny_store, output, Parallel(distributed_optimizer=False))
    recorder.trainer = finished = trainer(run, [recorder])
    finished.fit()
    return recorder.steps


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_and_norms_equal_those_of_one_process(layout, four_ranks, one_rank):
    seen = json.loads((four_ranks / f"{layout}.json").read_text())
    assert len(seen) == len(one_rank) == 6
    for step, (here, there) in enumerate(zip(seen, one_rank, strict=True)):
        assert here["counts"] == there["counts"], step
        for number in ("loss", "grad_norm", "param_norm", "sums"):
            assert here[number] == pytest.approx(there[number], rel=TOLERANCE), (step, number)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rank", range(4))
def test_loss_and_gradients_of_four_ranks_equal_the_oracle(rank, layout, four_ranks):
    for batches in BATCHES:
        told = json.loads((four_ranks / f"oracle-{rank}.json").read_text())[layout][batches]
        assert told["loss"] <= 1e-6, batches
        assert told["gradient"] <= 1e-6, batches
        assert told["by_group"] <= 1e-6, batches
        assert told["counts_by_group"] == 0, batches
        assert told["compared"] == told["parameters"], batches


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_of_any_layout_goes_on_in_one_process(
    layout, four_ranks, tiny_store, single_process
):
    loaded = trainer(layout_run(tiny_store, four_ranks / layout, Parallel()))
    loaded.resume()
    assert loaded.step == 6
    seen = json.loads((four_ranks / f"{layout}.json").read_text())[-1]
    assert loaded.engine.parameter_norm() == pytest.approx(seen["param_norm"], rel=TOLERANCE)
