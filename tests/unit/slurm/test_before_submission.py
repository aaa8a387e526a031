"""What the cluster says before anything is submitted, and one launch an output folder."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from geo_nemo.config import UserError
from tests.unit.slurm.test_launch import INPUT, PREP, RUN

GIVEN = (*RUN, "data.store=/none/news/store", *PREP)
PARTITIONS = (
    "PartitionName=gpu AllowAccounts=ALL AllowQos=ALL Default=YES MaxNodes=UNLIMITED "
    "MaxTime=1-00:00:00 State=UP TotalNodes=4\n"
    "PartitionName=short AllowAccounts=ALL AllowQos=high DenyAccounts=guests Default=NO MaxNodes=1 "
    "MaxTime=04:00:00 State=UP TotalNodes=8\n"
    "PartitionName=old AllowAccounts=ours Default=NO MaxTime=UNLIMITED State=DOWN TotalNodes=8\n"
    "PartitionName=own AllowAccounts=ours Default=NO MaxTime=UNLIMITED State=UP TotalNodes=8\n"
)


@pytest.fixture
def cluster(launch):
    (launch.cluster.folder / "partitions").write_text(PARTITIONS)
    return launch.cluster


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            ("slurm.time=2-00:00:00",),
            "slurm.time=2-00:00:00 is above the limit of partition gpu, 1-00:00:00: give "
            "slurm.time=1-00:00:00: a run goes on over many jobs, or another slurm.partition",
        ),
        (
            ("slurm.prep.partition=short", "slurm.prep.qos=high"),
            "slurm.prep.time=24:00:00 is above the limit of partition short, 04:00:00: give",
        ),
        (("slurm.partition=none",), "no such partition; there is gpu, short, old, own"),
        (("slurm.partition=old",), "partition old is DOWN, not UP: give another slurm.partition"),
        (
            ("slurm.nodes=8", "train.global_batch_size=512"),
            "slurm.nodes=8, but partition gpu has 4: give fewer",
        ),
        (
            ("slurm.partition=short", "slurm.time=60", "slurm.nodes=2"),
            "slurm.nodes=2, but partition short allows a job 1",
        ),
        (
            ("slurm.partition=own", "slurm.account=theirs"),
            "slurm.account=theirs: partition own takes ours alone",
        ),
        (
            ("slurm.partition=short", "slurm.time=60", "slurm.account=guests"),
            "slurm.account=guests: partition short does not take it",
        ),
        (
            ("slurm.partition=short", "slurm.time=60", "slurm.qos=low"),
            "slurm.qos=low: partition short takes high alone",
        ),
    ],
)
def test_what_a_partition_would_not_start_is_said_at_once(launch, cluster, settings, told):
    code, _, err = launch(*GIVEN, *settings)
    assert code == 2 and told in err and err.count("\n") == 1, err
    assert cluster.calls("sbatch") == []
    assert not (launch.runs / "a").exists()


def test_of_several_partitions_one_that_fits_is_enough(launch, cluster):
    assert launch(*GIVEN, "slurm.partition='short,gpu'")[0] == 0
    code, _, err = launch(*GIVEN, "slurm.partition='old,short'", "output_dir=/runs/b")
    assert code == 2 and "partition old is DOWN" in err


def test_a_hidden_partition_takes_jobs_of_whoever_names_it(launch, cluster):
    hidden = "PartitionName=ours AllowAccounts=lab AllowQos=ALL Hidden=YES State=UP TotalNodes=4\n"
    (cluster.folder / "partitions").write_text(PARTITIONS + hidden)
    code, _, err = launch(*GIVEN, "slurm.partition=ours", "slurm.account=Lab")
    assert code == 0, err
    code, _, err = launch(*GIVEN, "slurm.partition=ours", "slurm.account=other")
    assert code == 2 and "slurm.account=other: partition ours takes lab alone" in err


def test_a_cluster_without_a_default_partition_wants_one_named(launch, cluster):
    (cluster.folder / "partitions").write_text(PARTITIONS.replace("Default=YES", "Default=NO"))
    code, _, err = launch(*GIVEN)
    assert code == 2 and "slurm.partition is not given, and this cluster has no default" in err


def test_accounts_and_qos_are_those_of_the_database_where_there_is_one(launch, cluster):
    # Without one, whatever is given is taken.
    assert launch(*GIVEN, "slurm.account=any", "slurm.qos=any")[0] == 0
    (cluster.folder / "accounts").write_text("ours\nmine\nours\n")
    (cluster.folder / "qos").write_text("normal\nhigh\n")
    given = (*GIVEN, "output_dir=/runs/b")
    code, _, err = launch(*given, "slurm.account=theirs")
    assert code == 2 and "slurm.account=theirs: no such account of yours; yours are mine, o" in err
    evaluation = ("--eval", "runs.a=/runs/b store=/none/news/store output=/runs/e")
    code, _, err = launch(*given, "slurm.account=ours", "slurm.eval.qos=low", *evaluation)
    assert code == 2 and "slurm.eval.qos=low: no such QOS; there is high, normal" in err
    assert launch(*given, "slurm.account=Ours", "slurm.qos=high")[0] == 0
    (cluster.folder / "accounts").write_text("")
    code, _, err = launch(*given, "slurm.account=ours", "output_dir=/runs/c")
    assert code == 2 and "has none here" in err


def test_a_second_launch_of_a_folder_is_refused_while_the_first_is_in_the_queue(launch, cluster):
    assert launch(*GIVEN)[0] == 0
    assert (launch.runs / "a/slurm/launched").read_text() == "1002\n"
    (cluster.folder / "queue").write_text("1002 PENDING\n")
    code, _, err = launch(*GIVEN)
    assert code == 2 and err.count("\n") == 1
    assert "job 1002 is PENDING for output_dir=/runs/a: wait for it, scancel 1002, or give" in err
    assert len(cluster.calls("sbatch")) == 2
    # A job that this launch waits for may have it until then.
    code, _, err = launch(*GIVEN, "--after", "1002")
    assert code == 0, err
    (cluster.folder / "queue").write_text("1004 gone\n")
    assert launch(*GIVEN)[0] == 0


def test_a_job_in_a_hidden_partition_is_in_the_queue_too(launch, cluster):
    assert launch(*GIVEN)[0] == 0
    (cluster.folder / "queue").write_text("1002 PENDING\n")
    (cluster.folder / "bin/squeue").rename(cluster.folder / "bin/real-squeue")
    real = f'[ -n "${{SQUEUE_ALL:-}}" ] && exec {cluster.folder}/bin/real-squeue "$@"'
    cluster.everywhere("squeue", real)
    code, _, err = launch(*GIVEN)
    assert code == 2 and "job 1002 is PENDING for output_dir=/runs/a" in err


def test_a_launch_behind_another_leaves_the_files_and_the_claim_of_that_one(launch, cluster):
    assert launch(*GIVEN)[0] == 0
    (cluster.folder / "queue").write_text("1002 PENDING\n")
    *_, file, told = cluster.calls("sbatch")[1]
    (cluster.folder / "refuse").write_text("-demo")
    code, _, err = launch(*GIVEN, "--after", "1002", "slurm.restarts=9")
    assert code == 2 and "sbatch refused the job train" in err
    # The first job is still to start, or to be requeued: it asks for the file as it was.
    assert hashlib.sha256(Path(file).read_bytes()).hexdigest() == told
    assert (launch.runs / "a/slurm/launched").read_text() == "1002\n"


def test_nothing_of_a_job_in_which_the_user_is_goes_into_the_new_one(launch, cluster, monkeypatch):
    seen = launch.runs.parent / "seen"
    (cluster.folder / "bin/sbatch").rename(cluster.folder / "bin/real-sbatch")
    cluster.everywhere("sbatch", f'env >>{seen}\nexec {cluster.folder}/bin/real-sbatch "$@"')
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "4096")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/here.conf")
    monkeypatch.setenv("SBATCH_NO_REQUEUE", "1")
    assert launch(*GIVEN)[0] == 0
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "SLURM_CONF" in names and "SLURM_MEM_PER_CPU" not in names
    # What is on the command line goes before a variable, which goes before what a script says.
    assert all({"--requeue", "--open-mode=append"} <= set(c) for c in cluster.calls("sbatch"))


def test_of_a_chain_all_jobs_are_submitted_or_none_stays(launch, cluster, monkeypatch):
    def full(*_):
        raise UserError("cannot write /runs/a/slurm/launched: No space left on device")

    monkeypatch.setattr("geo_nemo.cli.launch.record_job", full)
    code, _, err = launch(*GIVEN)
    assert code == 2 and cluster.calls("scancel") == [["1001", "1002"]]
    assert "No space left on device; those before it (1001 1002) are cancelled" in err

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("geo_nemo.cli.launch.record_job", interrupted)
    code, _, err = launch(*GIVEN)
    assert code == 130 and len(cluster.calls("scancel")) == 2
    assert "the launch was broken off; those before it" in err


def test_runs_of_an_array_are_claimed_each(launch, cluster):
    given = (*GIVEN, "train.lr=1e-3,2e-3", "--multirun")
    assert launch(*given)[0] == 0
    claims = sorted(path.read_text() for path in launch.runs.glob("a/*/slurm/launched"))
    assert claims == ["1002_0\n", "1002_1\n"]
    (cluster.folder / "queue").write_text("1002_1 RUNNING\n1002_0 gone\n")
    code, _, err = launch(*given)
    assert code == 2 and "job 1002_1 is RUNNING for output_dir=/runs/a/train.lr=0.002" in err


CHAIN = (
    "experiment=demo", "device=cpu", "slurm.partition=gpu", "train.global_batch_size=256",
    "data.store=/runs/news/store", "--prep", f"{INPUT} output=/runs/news", "--eval",
    "runs.a=/runs/a store=/runs/news/store output=/runs/e", "output_dir=/runs/a",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("/runs/e", "/runs/e2"), "job 1001 is PENDING for --prep output=/runs/news: wait for it"),
        (("/runs/news", "/runs/news2"), "job 1003 is RUNNING for --eval output=/runs/e: wait for"),
    ],
)
def test_outputs_of_a_preparation_and_an_evaluation_are_claimed(launch, cluster, changed, told):
    cluster_queue = cluster.folder / "queue"
    assert launch(*CHAIN)[0] == 0
    claims = {n: (launch.runs / n / "slurm/launched").read_text() for n in ("news", "a", "e")}
    assert claims == {"news": "1001 1002 1003\n", "a": "1002 1003\n", "e": "1003\n"}
    cluster_queue.write_text("1001 PENDING\n1002 PENDING\n1003 RUNNING\n")
    other = [word.replace("/runs/a", "/runs/b").replace(*changed) for word in CHAIN]
    code, _, err = launch(*other)
    assert code == 2 and err.count("\n") == 1 and told in err
    assert len(cluster.calls("sbatch")) == 3 and not (launch.runs / "b/slurm/launched").exists()
    # What it had claimed before the mistake it lets go of.
    assert not (launch.runs / "news2/slurm/launched").exists()
    cluster_queue.write_text("1001 gone\n1002 gone\n1003 gone\n")
    assert launch(*other)[0] == 0


def test_a_launch_behind_an_array_may_have_its_folders_while_a_run_of_it_trains(launch, cluster):
    given = (*GIVEN, "train.lr=1e-3,2e-3", "--multirun")
    assert launch(*given)[0] == 0
    # Slurm gives each run of an array a number of its own, which the run writes down.
    for number, folder in enumerate(sorted(launch.runs.glob("a/*/slurm"))):
        (folder / "job").write_text(f"{1002 + number}\n")
    (cluster.folder / "queue").write_text(
        "1002_0 RUNNING\n1002_1 RUNNING\n1002 RUNNING\n1003 RUNNING\n"
    )
    assert launch(*given)[0] == 2
    code, _, err = launch(*given, "--after", "1002_0")
    assert code == 2 and "job 1002_1 is RUNNING" in err
    code, _, err = launch(*given, "--after", "1002")
    assert code == 0, err


@pytest.mark.parametrize("after", ["1002", "1003"])
@pytest.mark.parametrize("trains", [False, True])
def test_a_launch_behind_the_last_job_of_a_chain_may_have_its_folders(
    launch, cluster, after, trains
):
    assert launch(*CHAIN)[0] == 0
    (cluster.folder / "queue").write_text("1001 PENDING\n1002 PENDING\n1003 PENDING\n")
    if trains:
        (cluster.folder / "queue").write_text("1001 gone\n1002 RUNNING\n1003 PENDING\n")
        (launch.runs / "a/slurm/job").write_text("1002\n")
    code, _, err = launch(*CHAIN, "--after", after)
    if after == "1003":
        assert code == 0, err
        assert (launch.runs / "a/slurm/launched").read_text() == "1005 1006\n"
    else:  # the evaluation may still be writing then
        assert code == 2 and "job 1003 is PENDING for --eval output=/runs/e" in err
        assert (launch.runs / "a/slurm/launched").read_text() == "1002 1003\n"
        assert (launch.runs / "news/slurm/launched").read_text() == "1001 1002 1003\n"


def test_on_a_disk_that_this_machine_does_not_see_nothing_is_made(launch, cluster):
    assert launch(*GIVEN)[0] == 0 and "/none/news" in PREP[1]
    assert not Path("/none").exists()


def test_a_job_that_was_submitted_by_hand_has_its_folder_too(launch, cluster):
    (launch.runs / "a/slurm").mkdir(parents=True)
    (launch.runs / "a/slurm/job").write_text("77\n")
    (cluster.folder / "queue").write_text("77 RUNNING\n")
    code, _, err = launch(*GIVEN)
    assert code == 2 and "job 77 is RUNNING for output_dir=/runs/a" in err


def test_two_launches_at_once_and_one_that_was_killed(launch, cluster):
    claim = launch.runs / "a/slurm/launched"
    claim.parent.mkdir(parents=True)
    claim.write_text(f"launching {socket.gethostname()} {os.getpid()}\n")
    code, _, err = launch(*GIVEN)
    assert code == 2 and "another geo-nemo launch is submitting /runs/a: wait for it" in err
    claim.write_text("launching another-machine 1\n")
    code, _, err = launch(*GIVEN)
    assert code == 2 and "another geo-nemo launch is submitting" in err
    os.utime(claim, (1e9, 1e9))
    assert launch(*GIVEN)[0] == 0
    claim.write_text(f"launching {socket.gethostname()} 99999999\n")
    assert launch(*GIVEN)[0] == 0


def test_a_launch_that_is_refused_lets_go_of_the_folder(launch, cluster):
    (cluster.folder / "refuse").touch()
    assert launch(*GIVEN)[0] == 2
    assert not (launch.runs / "a/slurm/launched").exists()
    (cluster.folder / "refuse").unlink()
    assert launch(*GIVEN)[0] == 0
