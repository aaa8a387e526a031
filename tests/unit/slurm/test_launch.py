"""geo-nemo launch: mistakes are said before anything is submitted, and jobs wait for each other."""

import hashlib
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from geo_nemo.cli import main as cli
from geo_nemo.config import Run
from geo_nemo.config.launch import Slurm
from geo_nemo.config.load import load_config
from geo_nemo.launch.checks import ask_for_gpus
from tests.unit.slurm.fake_cluster import ROOT

# As large a batch as 32 processes share.
RUN = ("experiment=demo", "device=cpu", "output_dir=/runs/a", "train.global_batch_size=256")
# A launch looks whether it is there, not what it holds; a checkout may lie in /tmp, which no two
# nodes share, and in a folder with a space.
RAW = os.__file__
INPUT = shlex.quote(f"input={RAW}")
PREP = ("--prep", f"{INPUT} output=/none/news")


def settings_of(call):
    """The file of settings that a call of sbatch names, as text; its hash is as told."""
    *_, launch, file, told = call
    content = Path(file).read_bytes()
    assert launch == "--launch" and hashlib.sha256(content).hexdigest() == told
    return content.decode()


def configs_of(call):
    """The whole configs that the job of a call reads, in the order of its runs."""
    listed = re.search(r"launch_configs=\((.*)\)", settings_of(call))[1]
    return [json.loads(Path(path).read_bytes()) for path in shlex.split(listed)]


def test_preparation_training_evaluation_and_report_wait_for_each_other(launch):
    code, out, err = launch(
        "slurm=nodes4", "slurm.partition=gpu", *RUN, "data.store=/none/news/store", *PREP,
        "--eval", "runs.a=/runs/a store=/none/news/store output=/runs/e",
        "--report", "eval=/runs/e output=/runs/r.html",
    )  # fmt: skip
    assert code == 0, err
    assert out.split() == ["prep", "1001", "train", "1002", "eval", "1003", "report", "1004"]
    prep, train, evaluate, report = launch.cluster.calls("sbatch")
    assert not any("--dependency" in word for word in prep)
    assert "--dependency=afterok:1001" in train and "--nodes=4" in train
    assert "--ntasks-per-node=8" in train and "--partition=gpu" in train
    assert train[-4] == str(ROOT / "slurm/train.sbatch")
    (config,) = configs_of(train)
    given = load_config("train", Run, (*RUN, "data.store=/none/news/store"))
    assert config == {**given.model_dump(mode="json"), "output_dir": f"{launch.runs}/a"}
    assert "--dependency=afterok:1002" in evaluate and "--gpus-per-node=1" in evaluate
    assert configs_of(evaluate)[0]["runs"] == {"a": f"{launch.runs}/a"}
    assert "--dependency=afterok:1003" in report and "--gpus-per-node=0" in report
    assert configs_of(prep)[0]["output"] == "/none/news"
    calls = (prep, train, evaluate, report)
    assert all("--time=24:00:00" in call for call in calls)
    # Logs are with the run, and the settings beside them.
    names = ("prep", "train", "eval", "report")
    for name, call in zip(names, calls, strict=True):
        assert f"--output={launch.runs}/a/slurm/{name}-%j.out" in call


def test_each_job_of_a_chain_has_resources_of_its_own(launch):
    code, _, err = launch(
        "slurm=nodes4", "slurm.partition=gpu", "slurm.account=a", *RUN,
        "data.store=/none/news/store", *PREP, "slurm.prep.partition=cpu", "slurm.prep.cpus=48",
        "slurm.prep.memory=200G", "slurm.prep.time=2:00:00", "slurm.prep.account=b",
        "slurm.eval.gpus=2", "slurm.eval.sbatch=['--reservation=r']", "slurm.report.cpus=1",
        "--eval", "runs.a=/runs/a store=/none/news/store output=/runs/e",
        "--report", "eval=/runs/e output=/runs/r.html",
    )  # fmt: skip
    assert code == 0, err
    prep, train, evaluate, report = map(set, launch.cluster.calls("sbatch"))
    assert prep >= {"--partition=cpu", "--cpus-per-task=48", "--mem=200G", "--time=2:00:00",
                    "--account=b", "--gpus-per-node=0"}  # fmt: skip
    assert train >= {"--partition=gpu", "--time=24:00:00", "--account=a"}
    assert evaluate >= {"--partition=gpu", "--gpus-per-node=2", "--reservation=r", "--account=a"}
    assert report >= {"--partition=gpu", "--cpus-per-task=1", "--mem=4G"}
    assert "--reservation=r" not in report
    script = (ROOT / "slurm/command.sbatch").read_text()
    assert "#SBATCH --cpus-per-task" not in script and "#SBATCH --mem" not in script


def test_a_job_that_shares_its_node_asks_for_memory_as_the_script_does(launch):
    code, _, err = launch("slurm=gpu", *RUN, "data.store=/none/news/store", *PREP)
    assert code == 0, err
    _, train = launch.cluster.calls("sbatch")
    script = (ROOT / "slurm/train.sbatch").read_text()
    # sbatch takes one of --mem, --mem-per-cpu and --mem-per-gpu.
    assert "#SBATCH --mem=0" in script and "--mem=48G" in train and "--oversubscribe" in train
    assert not [word for word in train if word.startswith("--mem-per")]


def test_a_dry_run_shows_the_calls_and_submits_nothing(launch):
    code, out, _ = launch(*RUN, "data.store=/none/news/store", *PREP, "--dry-run")
    assert code == 0
    assert "\nGEO_NEMO_CHECKS='node doctor allreduce'\n" in out
    assert "--dependency=afterok:<prep>" in out and "--signal=B:USR1@600" in out
    assert launch.cluster.calls("sbatch") == []
    assert not launch.runs.exists()


def test_a_dry_run_shows_the_config_as_train_does(launch, monkeypatch, capsys):
    settings = (*RUN, "data.store=/none/news/store")
    code, out, _ = launch(*settings, *PREP, "--dry-run")
    shown = out.partition("# the training's config: /runs/a\n")[2]
    settings = [word.replace("/runs", str(launch.runs)) for word in settings]
    monkeypatch.setattr(sys, "argv", ["geo-nemo", "train", *settings, "--cfg", "job"])
    with pytest.raises(SystemExit):
        cli.main()
    as_train = capsys.readouterr().out.replace(str(launch.runs), "/runs")
    assert code == 0 and shown == as_train
    assert yaml.safe_load(shown)["train"]["global_batch_size"] == 256


def test_a_dry_run_of_an_array_shows_one_config_and_in_what_the_others_differ(launch):
    sweep = ("train.lr=1e-3,2e-3", "seed=1,2", "--multirun")
    code, out, _ = launch(*RUN, "data.store=/none/news/store", *PREP, *sweep, "--dry-run")
    assert code == 0 and launch.cluster.calls("sbatch") == []
    first, *others = out.partition("# the training's config, run 0 of 4: ")[2].split("\n# run ")
    folder, _, config = first.partition("\n")
    assert folder == yaml.safe_load(config)["output_dir"] == "/runs/a/train.lr=0.001,seed=1"
    assert [other.splitlines() for other in others] == [
        [
            f"{number} of 4, where it differs: run 0 | run {number}",
            f"output_dir: {folder} | /runs/a/train.lr={lr},seed={seed}",
            *([f"seed: 1 | {seed}"] if seed != 1 else []),
            *([f"train.lr: 0.001 | {lr}"] if lr != 0.001 else []),
        ]
        for number, (lr, seed) in enumerate([(0.001, 2), (0.002, 1), (0.002, 2)], 1)
    ]


def test_an_array_writes_the_settings_of_each_run(launch, tmp_path):
    runs = tmp_path / "matrix"
    runs.write_text(
        f"# two\nexperiment=demo output_dir='{launch.runs}/the first'\n"
        f"experiment=demo output_dir={launch.runs}/b\n"
    )
    store = "data.store=/none/news/store"
    given = ("device=cpu", RUN[-1], store, "--runs", str(runs), *PREP)
    code, _, err = launch(*given, "slurm.at_once=4", "slurm.sbatch=['--reservation=r']")
    assert code == 0, err
    (prep, train) = launch.cluster.calls("sbatch")
    assert not [word for word in prep if word.startswith("--array")]
    assert "--reservation=r" in prep
    assert "--array=0-1%4" in train and "--reservation=r" in train
    outputs = [config["output_dir"] for config in configs_of(train)]
    assert outputs == [f"{launch.runs}/the first", f"{launch.runs}/b"]
    assert Path(train[-2]).parent.parent == launch.runs / "slurm"
    assert f"--output={launch.runs}/slurm/train-%A_%a.out" in train
    runs.write_text("experiment=demo output_dir=/r\nexperiment=demo output_dir=/r\n")
    code, _, err = launch(*given)
    assert code == 2 and "runs 0 and 1 both have output_dir=/r" in err
    runs.write_text("# a run\nexperiment=demo output_dir='/runs/a\n")
    code, _, err = launch(*given)
    assert code == 2 and "matrix, line 2: no closing quotation" in err and err.count("\n") == 1
    assert len(launch.cluster.calls("sbatch")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("slurm=nodes5",), "slurm=nodes5 is not a recipe; there is cpu, gpu, node, nodes4, nodes"),
        (("slurm.partitions=a",), "unknown key slurm.partitions; did you mean slurm.partition?"),
        (("slurm.time=tomorrow",), "slurm.time: tomorrow is no time: give minutes (90), HH:MM:SS"),
        (("slurm.time=60", "slurm.signal_seconds=3600"), "stops 60 minutes (slurm.signal_seconds)"),
        (("slurm.sbatch=['--time=60']",), "slurm.sbatch: --time=60 is slurm.time's to say"),
        (("slurm.eval.sbatch=['-p','x']",), "slurm.eval.sbatch: -p is slurm.partition's to say"),
        (("slurm.sbatch=['-N4']",), "slurm.sbatch: -N4 is slurm.nodes's to say: give that"),
        (("slurm.prep.time=soon",), "slurm.prep.time: soon is no time: give minutes"),
        (("slurm.memory=lots",), "slurm.memory: lots is no memory: give 64G, 900M, or 0"),
        (("slurm.sbatch=['--array=0-30%4']",), "is slurm.at_once's to say: give that"),
        (("slurm.time=5",), "leaves no time to train before the save: the run stops 10 minutes"),
        (("output_dir=runs/a",), "output_dir=runs/a is not absolute"),
        (("slurm.nodes=2", "data.store=/dev/shm/s"), "each node has a folder of its own there"),
        (("slurm.nodes=2", "output_dir=/dev/shm"), "each node has a folder of its own there"),
        (("slurm.nodes=2", "output_dir=/data/../run/a"), "each node has a folder of its own there"),
        (("data.index_dir=runs/index",), "data.index_dir=runs/index is not absolute"),
        ((f"output_dir={RAW}/a",), f"{RAW} is no folder: give another"),
        (
            ("data.store=/none/other",),
            "--prep makes another: give data.store=/none/news/store",
        ),
        (("--prep", "input=/raw output='/data"), "--prep: no closing quotation in input="),
        (("--prep", ""), "prep: no value for input, output"),
        (
            ("--prep", f"nonsense {INPUT} output=/none/news"),
            "no recipe nonsense: give the name",
        ),
        (
            ("--prep", "input=/raw/none.jsonl output=/none/news"),
            "/raw/none.jsonl: no such file or",
        ),
        (("--prep", f"{INPUT} output=news"), "--prep output=news is not absolute"),
        (
            ("--eval", "runs.a=/runs/a store=/none/news/store output=e"),
            "output=e is not absolute",
        ),
        (
            ("--eval", "runs.a=/runs/b store=/none/news/store output=/e"),
            "--eval runs.a=/runs/b is not there, and the jobs before it make /runs/a",
        ),
        (
            ("--eval", "runs.a=/runs/a store=/none/other output=/e"),
            "--eval store=/none/other is not there, and the jobs before it make /none/news",
        ),
        (("--report", "eval=/e output=/r.html"), "--report eval=/e is not there, and no job makes"),
        (
            (
                "slurm.container=docker://x",
                f"slurm.mounts=[/none,{os.path.dirname(RAW)},/runs]",
                "--eval",
                "runs.a=/runs/a store=/none/news/store questions=/q.jsonl output=/e",
            ),
            "the container would not see --eval questions=/q.jsonl: add its folder",
        ),
        (("slurm.container=/none.sqsh", "slurm.mounts=[/data]"), "/none.sqsh: no such image"),
        (("slurm.container=/none.sqsh",), "/none.sqsh: no such image"),
        (
            ("slurm.container=docker://x", f"slurm.mounts=[{os.path.dirname(RAW)}]"),
            "the container would not see data.store=/none/news/store: add its folder, slurm.mounts",
        ),
        (("slurm.container=docker://x", "slurm.mounts=[data]"), "slurm.mounts: data is not absolu"),
        (("slurm.runtime=apptainer",), "slurm.runtime=apptainer, but no container: add slurm.con"),
        (("slurm.env_file=/none",), "slurm.env_file=/none: no such file"),
        (("slurm=cpu", "device=gpu"), "device=gpu, but slurm.gpus_per_node=0"),
        (("train.leanring_rate=1",), "unknown key train.leanring_rate"),
        (
            ("slurm.container=images/a.sqsh", "slurm.mounts=[/data]"),
            "slurm.container=images/a.sqsh is not absolute",
        ),
        (
            ("slurm.nodes=2", "slurm.env_file=/dev/shm/env"),
            "slurm.env_file=/dev/shm/env: each node has a folder of its own there",
        ),
        (("init.checkpoint=runs/b",), "init.checkpoint=runs/b is not absolute"),
        (
            (
                "slurm.container=docker://x",
                f"slurm.mounts=[/none,{os.path.dirname(RAW)}]",
                "init.checkpoint=/models/llama",
            ),
            "add its folder, slurm.mounts=[/models]",
        ),
        (
            (
                "slurm.container=docker://x",
                f"slurm.mounts=[/none,{os.path.dirname(RAW)}]",
                "data.index_dir=/shared/index",
            ),
            "the container would not see data.index_dir=/shared/index: add its folder, slurm.mount",
        ),
        (
            ("stages.condition.token_selection=chosen",),
            "stages.condition.token_selection=chosen is not absolute",
        ),
        (("parallel.tensor=3",), "parallel.tensor=3"),  # though its store is yet to be made
        (("parallel.pipeline=16",), "parallel.pipeline=16"),
        (("--eval", "runs.a=/r stroe=/s output=/o"), "unknown key stroe; did you mean store?"),
        (("--report", "eval=/e outptu=/o"), "unknown key outptu; did you mean output?"),
        (
            (
                "model=8b",
                "train.global_batch_size=16384",
                "train.micro_batch_size=1",
                "data.seq_length=8192",
                "parallel.recompute=full",
                "slurm=gpu",
                "slurm.time=12",
                "device=gpu",
                "precision=bf16",
            ),
            "slurm.time=12 leaves 2.0 minutes before the save (health.margin_minutes=10), and a",
        ),
        (
            ("model=8b", "data.seq_length=8192", "slurm=gpu", "device=gpu", "precision=bf16"),
            "of the B200; it is ",
        ),
        (
            ("logging.mlflow_uri='https://me:hush@mlflow.example'",),
            "a setting of logging holds a password, which no file of the job may keep: put it into",
        ),
        (
            ("callbacks.use=[mine]", "++callbacks.options.mine.url='https://me:hush@host.example'"),
            "a setting of callbacks holds a password, which no file of the job may keep: have it",
        ),
        (
            ("logging.wandb_project=p", "logging.options.wandb.api_key=hush"),
            "wandb.api_key holds a secret, and settings are kept in run.json",
        ),
        (("--multirun",), "--multirun, but no setting has several values: KEY=A,B"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_submitted(launch, arguments, message):
    code, _, err = launch(*RUN, "data.store=/none/news/store", *PREP, *arguments)
    assert code == 2
    assert message in err and err.count("\n") == 1
    assert launch.cluster.calls("sbatch") == []


def test_what_does_not_fit_is_told_with_settings_that_launch_takes(launch):
    large = (*RUN, "data.store=/none/news/store", *PREP, "model=8b", "data.seq_length=8192",
             "train.micro_batch_size=2", "slurm=gpu", "device=gpu", "precision=bf16")  # fmt: skip
    code, _, err = launch(*large)
    assert code == 2 and "--gpus" not in err
    advice = err.strip().partition(" GiB with ")[2].split()
    assert any(word.startswith("slurm.gpus_per_node=") for word in advice), err
    code, _, err = launch(*large, *advice)
    assert code == 0, err
    wide = ("model.hidden_size=65536", "model.num_layers=128", "model.ffn_hidden_size=262144")
    code, _, err = launch(*large, *wide, "model.num_attention_heads=512")
    assert code == 2 and err.endswith("; choose a smaller model, or shorter rows\n"), err


@pytest.mark.parametrize(
    ("nodes", "per_node", "gpus", "words"),
    [
        (1, 1, 2, "slurm.gpus_per_node=2"),
        (1, 1, 8, "slurm.gpus_per_node=8"),
        (1, 1, 16, "slurm.nodes=2 slurm.gpus_per_node=8"),
        (1, 4, 8, "slurm.gpus_per_node=8"),
        (1, 8, 16, "slurm.nodes=2"),
        (4, 8, 64, "slurm.nodes=8"),
        (3, 1, 4, "slurm.nodes=1 slurm.gpus_per_node=4"),
        (3, 4, 16, "slurm.nodes=4"),
        (3, 3, 10, "slurm.nodes=2 slurm.gpus_per_node=5"),
        (1, 16, 32, "slurm.nodes=2"),
    ],
)
def test_gpus_are_asked_for_by_nodes_and_gpus_of_a_node(nodes, per_node, gpus, words):
    slurm = Slurm(nodes=nodes, gpus_per_node=per_node)
    assert ask_for_gpus(slurm, gpus) == words
    changes = dict(word.removeprefix("slurm.").split("=") for word in words.split())
    changed = slurm.model_copy(update={key: int(value) for key, value in changes.items()})
    assert changed.world_size == gpus


def test_a_mistake_in_the_preparation_s_settings_is_one_line(launch):
    given = ("--prep", "inptu=/raw/a.jsonl output=/none/news")
    code, _, err = launch(*RUN, "data.store=/none/news/store", *given)
    assert code == 2 and "unknown key inptu; did you mean input?" in err
    assert err.count("\n") == 1 and launch.cluster.calls("sbatch") == []


def test_a_sweep_is_an_array_of_every_combination(launch, tmp_path):
    store = "data.store=/none/news/store"
    output = tmp_path / "sweep"
    code, _, err = launch(
        "experiment=demo", "device=cpu", f"output_dir={output}", store, *PREP, RUN[-1],
        "train.lr=1e-3,2e-3", "seed=range(1,3)", "--multirun",
    )  # fmt: skip
    assert code == 0, err
    (_, train) = launch.cluster.calls("sbatch")
    assert "--array=0-3" in train
    names = [f"train.lr={lr},seed={seed}" for lr in ("0.001", "0.002") for seed in (1, 2)]
    configs = configs_of(train)
    assert [config["output_dir"] for config in configs] == [f"{output}/{name}" for name in names]
    found = [f"train.lr={config['train']['lr']},seed={config['seed']}" for config in configs]
    assert found == names


def test_what_another_job_will_make_need_not_be_there(launch):
    code, _, err = launch(
        *RUN, "data.store=/data/later/store", "--after", "77",
        "--eval", "runs.a=/runs/a runs.b=/runs/b store=/data/later/store output=/runs/e",
    )  # fmt: skip
    assert code == 0, err
    train, _ = launch.cluster.calls("sbatch")
    assert "--dependency=afterok:77" in train
    code, _, err = launch(*RUN, "data.store=/data/later/store")
    assert code == 2 and "no token store at /data/later/store" in err


def test_a_layout_that_does_not_fit_the_nodes_is_one_line(launch, tiny_store):
    code, _, err = launch(*RUN, f"data.store={tiny_store}", "parallel.tensor=3")
    assert code == 2 and "parallel.tensor=3" in err and err.count("\n") == 1
    assert launch.cluster.calls("sbatch") == []


def test_of_a_store_on_s3_the_manifest_alone_is_read(
    launch, tiny_store, bucket, tmp_path, monkeypatch
):
    from geo_nemo.store.remote import push_store

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = "data.store=s3://news/data/store"
    code, _, err = launch(*RUN, store)
    assert code == 2 and "no whole token store at s3://news/data/store" in err
    push_store(tiny_store, "s3://news/data/store")
    code, _, err = launch(*RUN, store, "parallel.tensor=3")
    assert code == 2 and "parallel.tensor=3" in err and err.count("\n") == 1
    code, out, err = launch("slurm.container=docker://x", *RUN, store, "train.micro_batch_size=1")
    assert (code, out.split()) == (0, ["train", "1001"]), err
    assert not (tmp_path / "cache").exists()


def test_no_slurm_and_a_refusal_are_one_line(launch, monkeypatch):
    (launch.cluster.folder / "refuse").touch()
    code, _, err = launch(*RUN, "data.store=/none/news/store", *PREP)
    assert code == 2
    assert "sbatch refused the job prep: sbatch: error: Batch job submission failed" in err
    assert launch.cluster.calls("scancel") == []
    (launch.cluster.folder / "refuse").write_text("-demo")
    code, _, err = launch(*RUN, "data.store=/none/news/store", *PREP)
    (number,) = launch.cluster.calls("scancel")[0]
    assert code == 2 and err.count("\n") == 1
    assert f"Invalid account; those before it ({number}) are cancelled" in err
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, err = launch(*RUN, "data.store=/none/news/store", *PREP)
    assert code == 2 and "there is no sbatch here: run this on a login node" in err


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("90", 90), ("90:30", 90.5), ("2:00:00", 120), ("1-00", 1440), ("1-2:30", 1590),
     ("1-2:30:30", 1590.5)],
)  # fmt: skip
def test_walltimes_are_read_as_sbatch_reads_them(time, minutes):
    assert Slurm(time=time).minutes == minutes
