"""Stages as SLURM arrays, on a fake SLURM that runs them here in real processes."""

import os
import re
import threading
import time
from pathlib import Path

import pytest

from data_prep.engine import StageFailed, run_stage, slurm
from data_prep.engine.attempt import attempts, new_attempt
from geo_nemo.common.errors import RunError, UserError
from tests.unit.data_prep.engine import fake_slurm
from tests.unit.data_prep.engine.plans import planned, results, runs


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Folder of the fake SLURM's state."""
    for name, value in fake_slurm.install(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm, "LOOK_S", 0.05)
    monkeypatch.setattr(slurm, "ASK_S", 0.05)
    monkeypatch.setattr(slurm, "LATE_S", 0.5)
    return fake_slurm.state()


def on_slurm(folder: Path, tasks: dict[str, str], version: str = "1", **options):
    return planned(folder, tasks, version, executor="slurm", slurm=options)


def directives(cluster: Path, job: int) -> dict[str, str]:
    script = (cluster / str(job) / "script.sh").read_text()
    return dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE))


def test_an_array_does_every_task_as_the_config_asks(tmp_path, cluster):
    stage = on_slurm(
        tmp_path, dict.fromkeys("abcde", "finish"), partition="cpu", account="news", qos="low",
        time="01:30:00", cpus_per_task=2, mem_per_cpu_gb=3, tasks_per_job=2, max_jobs=7,
    )  # fmt: skip
    seen = []
    receipts = run_stage(stage, lambda *entry: seen.append(entry))
    assert [receipt.counts for receipt in receipts] == [{"letters": 1}] * 5
    assert runs(tmp_path) == ["a", "b", "c", "d", "e"]
    asked = directives(cluster, 101)
    assert {name: asked[name] for name in asked if name not in ("output", "error")} == {
        "array": "0-2%7", "partition": "cpu", "account": "news", "qos": "low", "time": "01:30:00",
        "cpus-per-task": "2", "mem-per-cpu": "3G", "nodes": "1", "job-name": "geo-nemo-planned",
        "requeue": "",
    }  # fmt: skip
    assert seen[-1] == ("planned", 500, 500, "5 of 5 tasks, 0 running")
    assert [path.name for path in cluster.iterdir()] == ["101"]


def test_what_the_config_leaves_open_is_left_to_the_cluster(tmp_path, cluster):
    run_stage(on_slurm(tmp_path, {"a": "finish"}))
    assert not {"partition", "account", "qos"} & directives(cluster, 101).keys()


def test_a_killed_and_a_failed_task_are_named_with_logs_and_a_rerun_does_only_them(
    tmp_path, cluster
):
    tasks = {"a": "finish", "b": "be killed", "c": "fail", "d": "finish"}
    with pytest.raises(StageFailed) as failure:
        run_stage(on_slurm(tmp_path, tasks))
    message = str(failure.value)
    assert "\n" not in message
    assert message.startswith("planned: 2 of 4 tasks did not finish: ")
    logs = dict(re.findall(r"\b(\w): [^()]* \(log ([^)]*)\)", message))
    assert "b: ended OUT_OF_MEMORY (log " in message
    assert "c: ValueError: the task fell over (log " in message
    assert "Killed" in Path(logs["b"]).read_text()
    assert "ValueError: the task  fell" in Path(logs["c"]).read_text()
    assert runs(tmp_path) == ["a", "b", "c", "d"]

    stage = on_slurm(tmp_path, dict.fromkeys("abcd", "finish"))
    run_stage(stage)
    assert runs(tmp_path) == ["b", "c"]
    assert directives(cluster, 102)["array"].startswith("0-1")
    assert results(stage) == {i: f"{i} is done" for i in "abcd"}
    assert [attempt.number for attempt in attempts(stage)] == [0, 1]


def test_a_mistake_that_a_task_meets_is_the_user_s_and_ends_the_others(tmp_path, cluster):
    with pytest.raises(UserError, match=r"^line 3 of news.jsonl is no JSON: mend it$"):
        run_stage(on_slurm(tmp_path, {"a": "mistake", "b": "wait"}))
    assert (cluster / "101" / "cancelled").exists()


def test_an_interruption_cancels_the_jobs(tmp_path, cluster, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_stage(on_slurm(tmp_path, {"a": "wait"}))
    assert (cluster / "101" / "cancelled").exists()


def submit(stage) -> list[str]:
    """Submit as a launcher that then goes away."""
    tasks = stage.tasks()
    return slurm._submit(stage, tasks, stage.config.execution.slurm, new_attempt(stage))


def test_jobs_of_a_launcher_that_went_away_are_waited_for_and_not_submitted_again(
    tmp_path, cluster
):
    stage = on_slurm(tmp_path, {"a": "finish", "b": "wait"})
    assert submit(stage) == ["101"]
    threading.Timer(0.5, Path(f"{tmp_path}/plan.json.go").touch).start()
    run_stage(stage)
    assert runs(tmp_path) == ["a", "b"]
    assert [path.name for path in cluster.iterdir()] == ["101"]


def test_what_jobs_of_a_launcher_that_went_away_have_begun_is_left_to_them(tmp_path, cluster):
    stage = on_slurm(tmp_path, {"a": "wait"})
    submit(stage)
    while not list(stage.folder.glob("a.*.partial")):
        time.sleep(0.02)
    threading.Timer(0.5, Path(f"{tmp_path}/plan.json.go").touch).start()
    run_stage(stage)
    assert (runs(tmp_path), results(stage)) == (["a"], {"a": "a is done"})


def test_jobs_of_another_config_are_cancelled_first(tmp_path, cluster):
    submit(on_slurm(tmp_path, {"a": "wait"}))
    stage = on_slurm(tmp_path, {"a": "finish"}, version="2")
    run_stage(stage)
    assert (cluster / "101" / "cancelled").exists()
    assert directives(cluster, 102)["array"].startswith("0-0")
    assert stage.receipts()[0].key == stage.tasks()[0].key


def test_more_jobs_than_an_array_holds_become_arrays_in_a_row(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(slurm, "ARRAY_JOBS", 2)
    tasks = {"a": "finish", "b": "finish", "c": "fail"}
    with pytest.raises(StageFailed, match=r"1 of 3 tasks did not finish: c: ValueError"):
        run_stage(on_slurm(tmp_path, tasks))
    assert runs(tmp_path) == ["a", "b", "c"]
    arguments = (cluster / "102" / "arguments").read_text()
    assert "--dependency=afterany:101" in arguments


def test_a_controller_that_does_not_answer_for_a_while_ends_nothing(tmp_path, cluster):
    (cluster / "silent").write_text("3")
    stage = on_slurm(tmp_path, {"a": "finish"})
    run_stage(stage)
    assert results(stage) == {"a": "a is done"}


def test_a_controller_that_never_answers_is_one_line(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(slurm, "SILENT_S", 0.1)
    (cluster / "silent").write_text("1000")
    (cluster / "hold").touch()
    with pytest.raises(RunError, match=r"squeue fails .*Unable to contact .*jobs 101 may go on"):
        run_stage(on_slurm(tmp_path, {"a": "finish"}))
    assert not (cluster / "101" / "cancelled").exists()
    slurm._cancel(["101"])


def test_a_task_that_has_its_receipt_is_not_done_again_by_a_requeued_job(tmp_path, cluster):
    stage = on_slurm(tmp_path, {"a": "finish"})
    run_stage(stage)
    fake_slurm.wait_for("101")
    assert runs(tmp_path) == ["a"]
    (attempts(stage)[-1].folder / "completions" / "00000").unlink()
    (cluster / "101" / "0.state").unlink()
    fake_slurm._array("101")
    assert (cluster / "101" / "0.state").read_text() == "COMPLETED"
    assert runs(tmp_path) == []


def test_no_slurm_here_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"there is no sbatch here: run on a login node .*local$"):
        run_stage(on_slurm(tmp_path, {"a": "finish"}))


def test_a_job_that_is_refused_is_one_line(tmp_path, cluster):
    (cluster / "refuse").touch()
    with pytest.raises(UserError, match=r"sbatch refused the job .*mend execution\.slurm"):
        run_stage(on_slurm(tmp_path, {"a": "finish"}))


def test_a_space_in_the_output_is_one_line(tmp_path, cluster):
    with pytest.raises(UserError, match="take no space in a path"):
        run_stage(on_slurm(tmp_path / "my news", {"a": "finish"}))
    assert os.listdir(cluster) == []


def test_what_a_user_s_shell_hides_is_in_the_queue_all_the_same(tmp_path, monkeypatch):
    """Else jobs that run are taken for ended, and their tasks are submitted again beside them."""
    for name, does in (
        ("squeue", '[ -n "$SQUEUE_PARTITION" ] || [ -z "$SQUEUE_ALL" ] || echo 7'),
        ("scancel", f'[ -n "$SCANCEL_INTERACTIVE" ] || echo "$@" >{tmp_path}/cancelled'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SQUEUE_PARTITION", "mine")
    monkeypatch.setenv("SCANCEL_INTERACTIVE", "1")
    assert slurm._alive(["7"])
    slurm._cancel(["7"])
    assert (tmp_path / "cancelled").read_text() == "7\n"
