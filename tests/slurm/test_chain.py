"""`geo-nemo launch` under a real SLURM, by an ordinary user: preparation to report, and mistakes.

make test-slurm     (as root; see tests/slurm/real.py)
"""

import json

import pytest

SECRET = "hf_0123456789secret"
# What the test's nodes have of cores and memory.
SMALL = ("slurm=cpu", "slurm.time=25", "slurm.cpus_per_task=1", "slurm.memory=900M")
SMALL_TASKS = tuple(f"slurm.{name}.memory=900M" for name in ("prep", "eval", "report"))
# What a site may say, and what an earlier day may have left in the shell.
SITE = {"SBATCH_EXPORT": "NONE"}
STALE = {"GEO_NEMO_CHECKS": "node doctor allreduce", "GEO_NEMO_CONTAINER": "/none.sqsh",
         "GEO_NEMO_COMMAND": "false", "GEO_NEMO_SLURM": "/nowhere"}  # fmt: skip


@pytest.fixture(scope="module")
def home(slurm):
    """The user's folder, with news and a recipe of its own."""
    home = slurm.user.folder("chain")
    slurm.user("geo-nemo", "synth", f"output={home}/corpus", "documents=800")
    slurm.user(
        "bash", "-c", f"""mkdir -p {home}/recipes/experiment
        cat >{home}/recipes/experiment/ours.yaml <<'END'
# @package _global_
defaults:
  - demo
train: {{steps: 10, warmup_steps: 2, global_batch_size: 4, micro_batch_size: 4}}
END
        echo HF_TOKEN={SECRET} >{home}/env; chmod 600 {home}/env""",
    )  # fmt: skip
    return home


def test_one_command_prepares_trains_evaluates_and_reports(slurm, home):
    news, run = home / "news", home / "run"
    submitted = slurm.user(
        "geo-nemo", "launch", *SMALL, "--recipes", f"{home}/recipes",
        f"slurm.env_file={home}/env", "slurm.checks=[node,doctor]", "slurm.min_free_gb=0",
        f"slurm.command={slurm.user.bin}/geo-nemo", *SMALL_TASKS,
        "slurm.account=ours", "slurm.prep.partition=high", "slurm.prep.cpus=2",
        "slurm.eval.partition=short", "slurm.report.partition=short", "slurm.report.time=5",
        "experiment=ours", f"data.store={news}/store", f"output_dir={run}",
        "--prep", f"input={home}/corpus/news.jsonl.gz output={news} tokenizer.vocab_size=512",
        "--eval", f"runs.a={run} store={news}/store output={home}/eval num_documents=20",
        "--report", f"eval={home}/eval output={home}/report.html",
        **SITE, **STALE,
    )  # fmt: skip
    jobs = dict(line.split() for line in submitted.splitlines())
    assert list(jobs) == ["prep", "train", "eval", "report"]
    asked = {name: slurm.job(number) for name, number in jobs.items()}
    assert [job["Partition"] for job in asked.values()] == ["high", "low", "short", "short"]
    assert [job["TimeLimit"] for job in asked.values()] == ["00:25:00"] * 3 + ["00:05:00"]
    assert asked["prep"]["NumCPUs"] == "2" and asked["report"]["NumCPUs"] == "1"
    # Nothing of the recipe is left when the jobs run.
    slurm.user("rm", "-r", f"{home}/recipes")
    done = slurm.wait_for_end(jobs["report"], seconds=300)
    logs = {path.name: path.read_text() for path in (run / "slurm").glob("*.out")}
    assert done["JobState"] == "COMPLETED", logs
    assert sorted(logs) == sorted(f"{name}-{number}.out" for name, number in jobs.items())
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 9
    assert json.loads((home / "eval" / "eval.json").read_text())
    assert "<html" in (home / "report.html").read_text()
    attempt = run / "slurm" / jobs["train"] / "0"
    assert [path.name for path in (attempt / "doctor").iterdir()] in (["n1.txt"], ["n2.txt"])
    # No script, log or record holds the secret.
    spelt = SECRET.encode()
    holding = [
        path
        for path in slurm.folder.rglob("*")
        if path.is_file() and path != home / "env" and spelt in path.read_bytes()
    ]
    assert holding == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("slurm.partition=short", "slurm.time=2:00:00"),
         "slurm.time=2:00:00 is above the limit of partition short, 00:30:00: give slurm.time="),
        (("slurm.account=none",), "slurm.account=none: no such account of yours; yours are ours"),
        (("slurm.qos=none",), "slurm.qos=none: no such QOS; there is normal"),
        (("slurm.partition=none",), "no such partition; there is low, high, short"),
        (("slurm.nodes=2", "slurm.partition=short"), "partition short allows a job 1: give fewer"),
        (("slurm.nodes=4", "train.micro_batch_size=1"), "slurm.nodes=4, but partition low has 2"),
        (("output_dir=/srv/nobody/run",), "you may not write in /srv: give another, or the right"),
        (("slurm.env_file=/etc/shadow",), "slurm.env_file=/etc/shadow"),
    ],
)  # fmt: skip
def test_what_slurm_would_refuse_or_let_wait_is_said_at_once(
    slurm, home, shared_store, settings, told
):
    before = slurm("squeue", "-h", "-t", "all", "-o", "%i")
    given = ("experiment=demo", f"data.store={shared_store}", f"output_dir={home}/never")
    done = slurm.user.start("geo-nemo", "launch", *SMALL, *given, *settings)
    assert done.returncode == 2 and told in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1
    assert slurm("squeue", "-h", "-t", "all", "-o", "%i") == before
    assert not (home / "never").exists()


def test_two_launches_of_one_folder(slurm, home, shared_store):
    given = ("experiment=demo", f"data.store={shared_store}", f"output_dir={home}/twice")
    words = ("geo-nemo", "launch", *SMALL, *given, "slurm.sbatch=['--hold']")
    number = slurm.user(*words).split()[1]
    done = slurm.user.start(*words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    told = f"job {number} is PENDING for output_dir={home}/twice: wait for it, scancel {number}"
    assert told in done.stderr
    slurm.user("scancel", number)
    slurm.wait_for_end(number)
    name, number = slurm.user(*words).split()
    assert name == "train"
    slurm.user("scancel", number)


def test_settings_that_were_edited_end_the_job_in_one_line(slurm, home, shared_store):
    run = home / "edited"
    given = ("experiment=demo", f"data.store={shared_store}", f"output_dir={run}")
    held = ("slurm.sbatch=['--hold']",)
    number = slurm.user("geo-nemo", "launch", *SMALL, *given, *held).split()[1]
    (config,) = run.glob("slurm/launch-*/train-0.json")
    config.write_text(config.read_text().replace('"seed"', '"sede"'))
    slurm.user("scontrol", "release", number)
    ended = slurm.wait_for_end(number)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "2:0")
    log = (run / f"slurm/train-{number}.out").read_text()
    assert log == (
        f"geo-nemo job {number}: the config {config} is not as geo-nemo launch wrote it: launch "
        "the run again\n"
    )


def test_a_container_without_pyxis_is_one_line(slurm, home, shared_store):
    run = home / "contained"
    given = ("experiment=demo", f"data.store={shared_store}", f"output_dir={run}")
    number = slurm.user(
        "geo-nemo", "launch", *SMALL, *given, "slurm.container='registry#geo-nemo'",
        f"slurm.mounts=[{shared_store}]",
    ).split()[1]  # fmt: skip
    ended = slurm.wait_for_end(number)
    assert ended["ExitCode"] == "2:0"
    log = (run / f"slurm/train-{number}.out").read_text()
    assert "no pyxis here: srun knows no --container-image" in log and log.count("\n") == 1
