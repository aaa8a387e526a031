"""A stage on datatrove's other executors, and what is said where they are not there."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data_prep.engine import StageFailed, datatrove, run_stage
from data_prep.engine.attempt import TaskStep, attempts, new_attempt
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.engine.plans import planned, results, runs

ROOT = Path(__file__).parents[4]
# A script, for the guard: datatrove's local executor starts its workers from the main module.
LOCAL = """
import sys
from pathlib import Path
from datatrove.executor import LocalPipelineExecutor
from data_prep.engine.attempt import TaskStep, new_attempt
from tests.unit.data_prep.engine.plans import planned

if __name__ == "__main__":
    stage = planned(Path(sys.argv[1]), {"a": "finish", "b": "finish", "c": "finish"})
    attempt = new_attempt(stage)
    step = TaskStep(type(stage), stage.config, stage.tasks(), attempt)
    LocalPipelineExecutor([step], tasks=3, workers=2, logging_dir=str(attempt.folder)).run()
"""


def test_a_stage_runs_on_datatrove_s_local_executor(tmp_path):
    script = tmp_path / "local.py"
    script.write_text(LOCAL)
    subprocess.run(
        [sys.executable, script, tmp_path / "w"], check=True, capture_output=True, timeout=100,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    stage = planned(tmp_path / "w", {"a": "finish", "b": "finish", "c": "finish"})
    assert [receipt.counts for receipt in stage.receipts()] == [{"letters": 1}] * 3
    assert runs(tmp_path / "w") == ["a", "b", "c"]


def step(stage, **options) -> TaskStep:
    return TaskStep(type(stage), stage.config, stage.tasks(), new_attempt(stage), **options)


def test_a_rank_is_a_task_and_the_number_of_ranks_must_be_theirs(tmp_path):
    stage = planned(tmp_path, {"a": "finish", "b": "finish"})
    todo = step(stage)
    todo(None, 1, 2)
    assert results(stage) == {"b": "b is done"}
    with pytest.raises(RuntimeError, match="2 tasks, but datatrove has 3 ranks"):
        todo(None, 0, 3)


def test_a_failure_is_kept_in_the_attempt_in_one_line(tmp_path):
    stage = planned(tmp_path, {"a": "fail", "b": "mistake"})
    todo = step(stage)
    for rank, kind in enumerate((ValueError, UserError)):
        with pytest.raises(kind):
            todo(None, rank, 2)
    kept = attempts(stage)[0].failures()
    assert {i: (f.user, f.line) for i, f in kept.items()} == {
        "a": (False, "ValueError: the task fell over"),
        "b": (True, "line 3 of news.jsonl is no JSON: mend it"),
    }


def test_a_job_that_is_requeued_beside_its_old_process_is_done_once_and_no_failure(tmp_path):
    stage = planned(tmp_path, {"a": "wait"})
    todo = step(stage)
    both = [threading.Thread(target=todo, args=(None, 0, 1)) for _ in range(2)]
    for thread in both:
        thread.start()
    while len(list(stage.folder.glob("a*.partial"))) < len(both):
        time.sleep(0.02)
    Path(f"{tmp_path}/plan.json.go").touch()
    for thread in both:
        thread.join()
    assert results(stage) == {"a": "a is done"}
    assert attempts(stage)[0].failures() == {}
    assert [path.name for path in stage.folder.iterdir()] == ["a"]


def test_relative_paths_are_the_launcher_s_wherever_a_worker_starts(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    stage = planned(Path("run"), {"a": "finish"})
    todo = step(stage)
    monkeypatch.chdir(tmp_path / "there")
    todo(None, 0, 1)
    assert (tmp_path / "run" / "out" / "work" / "planned" / "a" / "out.txt").is_file()


def test_a_task_that_is_killed_in_its_own_process_is_an_error_and_not_the_end(tmp_path):
    stage = planned(tmp_path, {"a": "be killed", "b": "finish"})
    todo = step(stage, own_process=True)
    with pytest.raises(RuntimeError, match="killed by signal 9"):
        todo(None, 0, 2)
    todo(None, 1, 2)
    assert results(stage) == {"b": "b is done"}


def test_no_ray_here_is_one_line_that_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needs Ray .*pip install -e '\.\[ray\]'"):
        run_stage(planned(tmp_path, {"a": "finish"}, executor="ray"))


@pytest.fixture
def ray_here(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{':'.join(filter(None, sys.path))}")
    monkeypatch.setattr(datatrove, "POLL_S", 0.1)


@pytest.mark.slow
def test_ray_does_every_task_and_a_failure_is_named_though_datatrove_exits_well(tmp_path, ray_here):
    tasks = {"a": "finish", "b": "fail", "c": "be killed", "d": "finish"}
    with pytest.raises(StageFailed) as failure:
        run_stage(planned(tmp_path, tasks, executor="ray", workers=2))
    message = str(failure.value)
    assert message.startswith("planned: 2 of 4 tasks did not finish: b: ValueError: the task fell")
    assert "c: was killed (log " in message
    runs(tmp_path)
    stage = planned(tmp_path, dict.fromkeys("abcd", "finish"), executor="ray", workers=2)
    run_stage(stage)
    assert runs(tmp_path) == ["b", "c"]
    assert results(stage) == {i: f"{i} is done" for i in "abcd"}
