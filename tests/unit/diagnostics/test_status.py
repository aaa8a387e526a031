"""How a run stands, from folders that are whole, half written, damaged, or no run's at all."""

import os
import subprocess
import sys
import time

import pytest

from geo_nemo.diagnostics.run_errors import cause_line
from geo_nemo.diagnostics.slurm import Job
from geo_nemo.diagnostics.status import read_status, read_statuses, runs_below
from tests.unit.diagnostics.run_folders import STEPS, Folder


@pytest.fixture
def run(tmp_path):
    return Folder(tmp_path / "run")


def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_run_that_goes_on(run):
    run.record(sessions=3).beat(2).metrics(0, 1, 2, when=time.time() + 1)
    run.checkpoint(2, age=40)
    status = read_status(run.path)
    assert (status.state, status.step, status.steps) == ("running", 3, STEPS)
    assert (status.stage, [s.name for s in status.stages]) == (
        "cooldown",
        ["condition", "cooldown"],
    )
    assert (status.loss, status.seconds_per_step, status.tokens_per_second) == (4.8, 2.0, 1001.0)
    assert status.seconds_left == 6.0
    assert status.restarts == 2
    assert status.checkpoint == "step_00000002"
    assert 39 < status.checkpoint_age < 60
    assert status.last_error is None


def test_the_newer_of_heartbeat_and_metrics_tells_the_step(run):
    run.record().metrics(0, 1, 2, when=time.time() - 100).beat(5, age=1)
    assert read_status(run.path).step == 5


def test_a_process_that_is_gone_without_a_word_has_failed(run):
    pid = dead_pid()
    run.record().metrics(0).beat(1, pid=pid)
    status = read_status(run.path)
    assert status.state == "failed"
    assert f"process {pid} on" in status.last_error.line


def test_a_process_of_another_container_counts_by_its_heartbeat(run):
    run.record().beat(1, age=5, pid=dead_pid(), pid_namespace="pid:[1]")
    assert read_status(run.path).state == "running"
    run.beat(1, age=500, pid=dead_pid(), pid_namespace="pid:[1]")
    assert read_status(run.path).state == "silent"


def test_slow_steps_are_no_silence(run):
    run.record().metrics(0).beat(1, age=150, host="elsewhere")
    status = read_status(run.path)
    assert status.state == "silent"
    assert 149 < status.silent_seconds < 160
    run.write("metrics.jsonl", '{"step": 0, "seconds": 60.0}\n')
    assert read_status(run.path).state == "running"


@pytest.mark.parametrize("event", ["finished", "stopped", "failed"])
def test_the_end_is_what_the_process_said(run, event):
    run.record().metrics(0).beat(1).end(event, "because", step=4)
    status = read_status(run.path)
    assert (status.state, status.step) == (event, 4)
    assert (status.last_error is not None) == (event == "failed")


def test_a_run_from_before_ends_were_kept_is_finished_by_its_checkpoint(run):
    run.record().beat(5, host="elsewhere", age=1e6)
    run.checkpoint(STEPS)
    assert read_status(run.path).state == "finished"


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        ("finished", "finished"),
        ("stopped and saved at step 4; started 101 times: it gives up", "stopped"),
        ("ended by SLURM", "stopped"),
        ("ended by signal 9 (rank_00001.exit); no newer checkpoint in 3 starts", "failed"),
    ],
)
def test_the_verdict_of_a_job_that_is_over(run, verdict, state):
    run.record().beat(4, age=90, host="n7")
    run.start(41, 0, "the all-reduce failed (exit 1)", age=500)
    run.start(41, 10, verdict, age=30)
    status = read_status(run.path)
    assert (status.state, status.verdict) == (state, verdict)


def test_a_verdict_from_before_the_heartbeat_is_another_process_s(run):
    run.record().beat(4, age=0)
    run.start(41, 0, "the run failed (exit 1)", age=500)
    assert read_status(run.path).state == "running"


@pytest.mark.parametrize(
    ("job", "age", "state"),
    [
        (Job("7", "PENDING", "Resources"), 1e4, "waiting"),
        (Job("7", "RUNNING"), 5, "running"),
        (Job("7", "RUNNING"), 1e4, "silent"),
        (Job("7", "NODE_FAIL"), 1e4, "failed"),
    ],
)
def test_a_job_in_the_queue_decides(run, job, age, state):
    run.record().beat(4, age=age, host="n7")
    assert read_status(run.path, job).state == state


def test_the_first_rank_to_fail_is_the_last_error(run):
    start = run.record().beat(1, host="n1").start(5, 2, "ended by signal 9", age=1)
    now = time.time_ns()
    for rank, code, when in ((0, 143, now), (1, 1, now - 10**9), (2, 75, now - 10**10)):
        (start / f"rank_{rank:05d}.exit").write_text(f"{code} {when} n1\n")
    (start / "rank_00001.err").write_text(
        "geo-nemo: a note\nTraceback (most recent call last):\n  File x\n"
        "torch.OutOfMemoryError: CUDA out of memory\n[W socket.cpp] Warning: nothing\n"
    )
    failure = read_status(run.path).last_error
    assert failure.source == "slurm/5/2/rank_00001.err"
    # Of lines that are geo-nemo's own, and of errors, the last of the best kind.
    assert failure.line == "rank_00001: a note"
    (start / "rank_00001.err").write_text("x\ntorch.OutOfMemoryError: CUDA out of memory\ny\n")
    assert read_status(run.path).last_error.line.endswith("OutOfMemoryError: CUDA out of memory")


def test_a_rank_that_was_killed_is_told_by_its_signal_and_not_by_its_last_line(run):
    start = run.record().beat(1, host="n1").start(5, 0, "ended by signal 9", age=1)
    (start / "rank_00000.exit").write_text(f"137 {time.time_ns()} n1\n")
    (start / "rank_00000.err").write_text("geo-nemo: a note\ndemo: 5/40, loss 5.3\n")
    assert read_status(run.path).last_error.line == "rank_00000: ended by signal 9"


def test_a_bad_step_is_an_error_that_was_met(run):
    run.record().beat(3)
    run.write("bad_steps.jsonl", '{"step": 2, "reason": "the loss spikes", "action": "rewind"}\n')
    assert read_status(run.path).last_error.line == "the loss spikes (rewind)"


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("", ""),
        ("only this\n", "only this"),
        ("geo-nemo: cannot write x: No space left on device\nbye\n",
         "cannot write x: No space left on device"),
        ("Traceback:\n  File\nValueError: no\n\n", "ValueError: no"),
        ("\x1b[31mRuntimeError: red\x1b[0m\nlast\n", "last"),
    ],
)  # fmt: skip
def test_the_cause_in_a_log(tmp_path, log, cause):
    path = tmp_path / "rank.err"
    path.write_text(log)
    assert cause_line(path) == cause


def test_half_written_and_damaged_files_tell_less_and_raise_nothing(run):
    run.record().metrics(0, 1)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "lo')
    run.write("heartbeat.json", "")
    run.write("end.json", "[1]")
    run.write("bad_steps.jsonl", "\xff\n{]\n")
    run.write("slurm/7/x/verdict", "")
    whole = run.checkpoint(2)
    torn = run.checkpoint(4)
    (torn / "weights").write_bytes(b"w")
    run.checkpoint(5)
    (run.path / "checkpoints" / "step_00000005" / "geo_nemo.json").write_text("{")
    status = read_status(run.path)
    assert status.step == 2
    assert status.checkpoint == whole.name
    assert [line.partition(":")[0] for line in status.damaged_checkpoints] == [
        "step_00000005", "step_00000004",
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["", "{", "[]", "nul\0l", '{"name": "x"', "[" * 100_000])
def test_a_record_that_is_none_is_a_broken_run(run, content):
    run.beat(2)
    run.write("run.json", content)
    status = read_status(run.path)
    assert status.state == "broken"
    assert status.problem.startswith("run.json")
    assert status.step == 2


def test_pipes_in_the_place_of_files_are_not_waited_for(run):
    for name in ("heartbeat.json", "metrics.jsonl", "end.json", "bad_steps.jsonl", "slurm/job"):
        (run.path / name).parent.mkdir(exist_ok=True)
        os.mkfifo(run.path / name)
    os.mkfifo(run.start(7, 0) / "verdict")
    assert read_statuses([run.record().path])[0].steps == STEPS
    (run.path / "run.json").unlink()
    os.mkfifo(run.path / "run.json")
    assert read_status(run.path).problem == "run.json cannot be read: is no file"


@pytest.mark.parametrize(
    "values",
    [
        {"step": "x", "time": "y", "pid": "z", "stage": 4, "loss": "a", "host": 7},
        {"step": -1, "time": None, "pid": -1},
        {"step": True, "time": 1e400, "pid": 10**30},
    ],
)
def test_a_heartbeat_of_other_types_is_none(run, values):
    run.record().beat(2, **values)
    assert read_status(run.path).step in (None, 2)


def test_a_config_of_another_version_leaves_the_stages_out(run):
    run.record().beat(2)
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"seed": 7', '"sead": 7'))
    status = read_status(run.path)
    assert (status.state, status.step, status.steps, status.stages) == ("running", 2, STEPS, ())


def test_what_is_no_run_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    problems = [read_status(tmp_path / name).problem for name in ("empty", "file", "none")]
    assert problems[0].startswith("is no run's folder")
    assert problems[1:] == ["Not a directory", "No such file or directory"]


def test_a_folder_of_runs_stands_for_them(tmp_path):
    for name in ("b", "a"):
        Folder(tmp_path / name).record()
    (tmp_path / "other").mkdir()
    assert runs_below(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert runs_below(tmp_path / "a") == [tmp_path / "a"]
    assert runs_below(tmp_path / "other") == [tmp_path / "other"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_one_line(run):
    run.record()
    run.path.chmod(0)
    try:
        assert read_status(run.path).problem == "Permission denied"
    finally:
        run.path.chmod(0o755)


def commands(folder, monkeypatch, **scripts):
    for name, text in scripts.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "$0 $*" >>{folder}/calls\n{text}\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "calls"


def test_slurm_is_asked_once_for_all_runs(tmp_path, monkeypatch):
    runs = [Folder(tmp_path / str(n)).record().beat(1, host="n", age=9e3) for n in (1, 2, 3)]
    for number, run in enumerate(runs, 11):
        run.write("slurm/job", f"{number}\n")
    monkeypatch.setenv("SQUEUE_PARTITION", "mine")  # which hides the jobs of others
    calls = commands(
        tmp_path, monkeypatch,
        squeue="[ -n \"$SQUEUE_PARTITION\" ] || [ -z \"$SQUEUE_ALL\" ] || "
        "echo '11|RUNNING|None'; exit 1",
        sacct="echo '12|CANCELLED by 0|0:15'",
    )  # fmt: skip
    found = read_statuses([run.path for run in runs])
    assert [status.state for status in found] == ["silent", "failed", "silent"]
    assert [status.job and status.job.state for status in found] == ["RUNNING", "CANCELLED", None]
    assert [line.split()[-1] for line in calls.read_text().splitlines()] == [
        "--jobs=11,12,13", "--jobs=12,13",
    ]  # fmt: skip


def test_slurm_that_does_not_answer_leaves_what_the_folder_says(tmp_path, monkeypatch):
    monkeypatch.setattr("geo_nemo.diagnostics.slurm.TIMEOUT_S", 0.2)
    run = Folder(tmp_path / "run").record().beat(1)
    run.write("slurm/job", "11; rm -rf /\n")
    other = Folder(tmp_path / "other").record().beat(1)
    other.write("slurm/job", "12\n")
    calls = commands(tmp_path, monkeypatch, squeue="sleep 5", sacct="exit 1")
    found = read_statuses([run.path, other.path])
    assert [status.state for status in found] == ["running", "running"]
    assert [line.split()[-1] for line in calls.read_text().splitlines()] == ["--jobs=12"] * 2
