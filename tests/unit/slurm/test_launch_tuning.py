"""geo-nemo launch --tune: what is submitted, mistakes before it, and how the job goes."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from geo_nemo.common.files import write_whole
from geo_nemo.config.tune import load_tune
from tests.support.exports import alpaca, write_export, write_jsonl
from tests.unit.slurm.test_launch import configs_of, settings_of

# Where TRL is not needed: the installation that submits may have none.
SLURM = ("slurm=cpu", "slurm.command=geo-nemo", "slurm.checks=[]")


@pytest.fixture(scope="module")
def given(tiny_store, tmp_path_factory):
    """The words that name a model, and data for it."""
    folder = tmp_path_factory.mktemp("tuning")
    model = write_export(folder / "model", tiny_store)
    data = write_jsonl(folder / "data.jsonl", alpaca(12))
    return "--tune", str(model), f"data={data}"


def test_a_tuning_is_a_job_with_a_folder_of_its_own(launch, given):
    words = (*given, "output=/runs/tuned", "lr=0.001")
    code, out, err = launch(*SLURM, "slurm.processes_per_node=2", "slurm.partition=gpu", *words)
    assert (code, out) == (0, "tune 1001\n"), err
    (call,) = launch.cluster.calls("sbatch")
    assert {"--job-name=geo-nemo-tune", "--ntasks-per-node=2", "--partition=gpu"} <= set(call)
    assert "--signal=B:USR1@600" in call and Path(call[-4]).name == "train.sbatch"
    # What geo-nemo tune must find absent is absent.
    assert [path.name for path in launch.runs.iterdir()] == ["tuned.job"]
    logs = f"{launch.runs}/tuned.job/slurm"
    assert f"--output={logs}/tune-%j.out" in call
    (config,) = configs_of(call)
    name = re.search(r"launch_configs=\((.*)\)", settings_of(call))[1]
    assert name.startswith(f"{logs}/launch-")
    wanted = load_tune("tune", given[1], (given[2], f"output={launch.runs}/tuned", "lr=0.001"))
    assert config == wanted.model_dump(mode="json")
    assert load_tune(name, given[1], ()) == wanted
    assert f"launch_command=(tune {given[1]} --config)\n" in settings_of(call)
    assert f"launch_partials=({launch.runs}/tuned.partial)\n" in settings_of(call)
    code, _, err = launch(*SLURM, *words)
    told = "job 1001 is RUNNING for output=/runs/tuned: wait for it, scancel 1001, or give another"
    assert code == 2 and err == f"geo-nemo: {told} output\n"


def test_evaluation_and_report_wait_for_the_tuning(launch, given):
    code, out, err = launch(
        *SLURM, *given, "output=/runs/tuned", "--after", "7",
        "--eval", "runs.a=/runs/tuned store=/data/store output=/runs/e",
        "--report", "eval=/runs/e output=/runs/r.html",
    )  # fmt: skip
    assert (code, out.split()) == (0, ["tune", "1001", "eval", "1002", "report", "1003"]), err
    tune, evaluate, _ = launch.cluster.calls("sbatch")
    assert "--dependency=afterok:7" in tune and "--dependency=afterok:1001" in evaluate


def test_a_dry_run_shows_the_job_and_the_config_and_writes_nothing(launch, given):
    code, out, err = launch(*SLURM, *given, "output=/runs/tuned", "--dry-run")
    assert code == 0, err
    assert "launch_partials=(/runs/tuned.partial)\n" in out and "\nsbatch --parsable" in out
    shown = out.partition("# the tuning's config: /runs/tuned\n")[2]
    assert f"model: {given[1]}\n" in shown and "output: /runs/tuned\n" in shown
    assert launch.cluster.calls("sbatch") == [] and not launch.runs.exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("output=tuned",), "output=tuned is not absolute: a job starts in another folder"),
        (("data=/none.jsonl",), "cannot read /none.jsonl"),
        (("learning_rate=1",), "learning_rate"),
        (("device=gpu",), "device=gpu, but slurm.gpus_per_node=0: take slurm=node, or device=cpu"),
        (
            ("slurm.processes_per_node=3",),
            "micro_batch_size 1 times 3 process(es): give global_batch_size=3",
        ),
        (("slurm.time=10",), "slurm.time=10 leaves no time to train before the save"),
        (("slurm.nodes=2", "output=/run/tuned"), "output=/run/tuned: each node has a folder of"),
        (("slurm.container='registry#a'", "slurm.command=null"), "container would not see model="),
        (("seq_length=4096",), "seq_length 4,096 is above the model's 128"),
        (("--multirun",), "--tune takes no --runs, --multirun, --prep: launch each by itself"),
        (("--prep", "input=/raw output=/new"), "--tune takes no --runs, --multirun, --prep"),
        (("--eval", f"runs.a=/other store={os.sep} output=/e"),
         "--eval runs.a=/other is not there, and the jobs before it make /runs/tuned"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_anything_is_submitted(launch, given, settings, told):
    code, _, err = launch(*SLURM, *given, "output=/runs/tuned", *settings)
    assert code == 2 and told in err and err.count("\n") == 1, err
    assert launch.cluster.calls("sbatch") == [] and not launch.runs.exists()


def test_an_installation_without_trl_is_said_where_the_job_starts_it(launch, given, monkeypatch):
    monkeypatch.setattr("geo_nemo.launch.tuning.find_spec", lambda name: None)
    words = ("slurm=cpu", *given, "output=/runs/tuned")
    code, _, err = launch(*words)
    assert code == 2 and "tune needs TRL and PEFT: pip install 'geo-nemo[tune]', or give" in err
    assert launch(*words, "slurm.command=geo-nemo")[0] == 0


def test_what_is_there_already_and_what_was_begun_otherwise(launch, given):
    words = (*SLURM, *given, "output=/runs/tuned")
    begun = launch.runs / "tuned.partial/begun.json"
    begun.parent.mkdir(parents=True)
    write_whole(begun, json.dumps({"lr": 1}).encode())
    code, _, err = launch(*words)
    assert code == 2 and "/runs/tuned.partial was begun with another" in err, err
    (launch.runs / "tuned").mkdir()
    write_whole(launch.runs / "tuned/other", b"")
    code, _, err = launch(*words)
    assert code == 2 and "/runs/tuned is there already: remove it, or give another output" in err
    write_whole(launch.runs / "tuned/tune.json", b"{}")
    code, _, err = launch(*words)
    assert code == 2 and "output=/runs/tuned is tuned already: give another output" in err
    assert launch.cluster.calls("sbatch") == []


# The first start saves and stops, the second finds that, and fails to get on; the third is done.
STAND_IN = """
printf '%s|' "$@" >>{folder}/seen
at={runs}/tuned.partial/checkpoints
case $SLURM_RESTART_COUNT in
  0) mkdir -p $at/checkpoint-3 $at/checkpoint-9; touch $at/checkpoint-3/whole.json; exit 75 ;;
  1) exit 75 ;;
esac
"""


def test_the_job_is_requeued_until_the_tuning_is_finished(launch, given):
    cluster = launch.cluster
    text = STAND_IN.format(folder=cluster.folder, runs=launch.runs)
    stub = cluster.command(cluster.folder / "stub", f"#!/bin/bash{text}")
    command = f"slurm.command={shlex.quote(str(stub))}"
    code, _, err = launch(*SLURM, command, "slurm.min_free_gb=0", *given, "output=/runs/tuned")
    assert code == 0, err
    (call,) = cluster.calls("sbatch")
    codes, logs = cluster.run_to_the_end(*call[-3:])
    assert codes == [75, 75, 0], logs
    assert "stopped and saved at step 3; requeues" in logs[0]
    # The one without its marker is not whole.
    assert "start 1 on n1 , step 3 is saved" in logs[1]
    seen = (cluster.folder / "seen").read_text()
    config = Path(call[-2]).with_name("tune-0.json")
    assert seen == f"tune|{given[1]}|--config|{config}|" * 3
    job = launch.runs / "tuned.job/slurm"
    assert (job / "42/2/verdict").read_text() == "finished\n" and not (job / "job").exists()
    assert not (launch.runs / "tuned").exists()


def test_a_container_sees_the_folder_in_which_the_output_gets_its_name(launch, given, tmp_path):
    cluster = launch.cluster
    stub = cluster.command(cluster.folder / "stub", "#!/bin/bash\nexit 0")
    code, _, err = launch(
        *SLURM, f"slurm.command={stub}", "slurm.container='registry#a'", "slurm.min_free_gb=0",
        f"slurm.mounts=[{Path(given[1]).parent}]", *given, "output=/runs/tuned",
    )  # fmt: skip
    assert code == 0, err
    (call,) = cluster.calls("sbatch")
    code, log = cluster.run(*call[-3:], GEO_NEMO_SCRATCH=str(tmp_path / "scratch"))
    assert code == 0, log
    (step,) = (words for words in cluster.calls("srun") if words != ["--help"])
    (mounts,) = (word for word in step if word.startswith("--container-mounts="))
    assert f"{launch.runs}:{launch.runs}" in mounts.partition("=")[2].split(",")
