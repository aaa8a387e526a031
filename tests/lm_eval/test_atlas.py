"""The tasks `atlas_*` in lm-evaluation-harness itself: the questions and answers of `atlas`."""

from pathlib import Path

import numpy as np
import pytest

lm_eval = pytest.importorskip("lm_eval", reason="make test-lm-eval installs it")

from eval.atlas.config import AtlasConfig  # noqa: E402
from eval.atlas.find import find  # noqa: E402
from eval.atlas.run import plan_atlas, run_atlas  # noqa: E402
from eval.harness import register  # noqa: E402
from eval.scorers.load import load  # noqa: E402
from tests.unit.eval import hub  # noqa: E402
from tests.unit.eval.atlas import released  # noqa: E402

ROOT = Path(__file__).parents[2]
TASKS = {
    "atlas_global_mmlu_sensitive": "global_mmlu", "atlas_global_mmlu_agnostic": "global_mmlu",
    "atlas_blend": "blend", "atlas_culturalbench": "culturalbench", "atlas_include": "include",
    "atlas_geomlama": "geomlama", "atlas_globalopinionqa": "globalopinionqa",
    "atlas_factbook": "factbook", "localnewsqa": "localnewsqa",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    hub.save_byte_tokenizer(folder / "model")
    hub.save_llama(folder / "model", 259)
    released.write_all(folder / "data")
    config = AtlasConfig(
        runs={"m": str(folder / "model")}, benchmarks=str(folder / "data"), conditions=("with",),
        output=str(folder / "out"), device="cpu", bootstrap_samples=100, rules=("by_sum",),
    )  # fmt: skip
    settings = config.evaluation("factbook", "-")
    return folder, run_atlas(plan_atlas(config), lambda model: load(model, settings))


@pytest.mark.parametrize("task", TASKS)
def test_the_harness_finds_the_answers_that_atlas_does(world, task):
    from lm_eval.tasks import TaskManager

    folder, result = world
    benchmark = TASKS[task]
    (found,) = find(folder / "data", (benchmark,))
    register()
    # Without the harness's own tasks, whose thousands of files take longer than all the rest.
    manager = TaskManager(include_path=str(ROOT / "eval" / "tasks"), include_defaults=False,
                          metadata={"file": str(found.path)})  # fmt: skip
    given = {"path": str(folder / "model"), "country_field": "country"}
    measured = lm_eval.simple_evaluate("geo_nemo", given, tasks=[task], task_manager=manager,
                                       device="cpu", bootstrap_iters=0)  # fmt: skip
    kinds = {"atlas_global_mmlu_sensitive": "culturally sensitive",
             "atlas_global_mmlu_agnostic": "culturally agnostic"}  # fmt: skip
    cells = [c for c in result["benchmarks"][benchmark]["cells"]
             if c["group"] == "all" and kinds.get(task, c["kind"]) == c["kind"]]  # fmt: skip
    questions = sum(c["questions"] for c in cells)
    assert questions == len(measured["samples"][task]) > 0
    right = sum(c["correct"] for c in cells)
    assert np.isclose(measured["results"][task]["acc,none"], right / questions)
