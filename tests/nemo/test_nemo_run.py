"""NeMo-Run's command line and executors run every experiment of the recipes."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from geo_nemo.config import UserError
from geo_nemo.config.whole import as_yaml, whole_config
from tests.nemo.small import STEPS, small_run

pytestmark = pytest.mark.skipif(find_spec("nemo_run") is None, reason="NeMo-Run: make test-nemo")
SETTINGS = ["experiment=meco/8b_with", "data.store=/data/s", "output_dir=/r/a b"]


def nemo(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """`nemo WORDS` beside this Python, with its records in `folder`."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("nemo")), *words],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NEMORUN_HOME": str(folder),
            "COLUMNS": "500",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
    )


def as_word(settings: list[str]) -> str:
    return f"settings={json.dumps(settings)}"


def dryrun(executor, task, folder, monkeypatch, capsys) -> str:
    import nemo_run as run

    monkeypatch.setenv("NEMORUN_HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "500")
    with (folder / "stdin").open("w+") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)  # its tunnel reads it, and pytest's refuses
        with run.Experiment("dry", executor=executor, base_dir=str(folder)) as made:
            made.add(task, name="train")
            made.dryrun()
    return capsys.readouterr().out


def test_every_experiment_has_a_factory():
    import nemo_run as run

    from geo_nemo.integrations import nemo_run

    names = nemo_run.experiments()
    assert {"demo", "paper/1b_africa_with", "localization/0.5b_asia_with", "meco/8b_with"} <= {
        *names
    }
    assert not [name for name in names if name.endswith("base")]
    assert len({nemo_run.factory_name(name) for name in names}) == len(names)
    for name in names:
        made = run.cli.resolve_factory(nemo_run.train, nemo_run.factory_name(name))()
        assert made.experiment == name


def test_a_slurm_job_is_shown_and_its_words_reach_the_shell_whole(tmp_path, monkeypatch, capsys):
    from geo_nemo.integrations import nemo_run

    executor = nemo_run.slurm(
        ["slurm.nodes=4", "slurm.account=a", "slurm.container=/i.sqsh", "slurm.mounts=[/data]"]
    )
    task = nemo_run.task(SETTINGS, executor=executor)
    shown = dryrun(executor, task, tmp_path, monkeypatch, capsys)
    for line in (
        "#SBATCH --nodes=4",
        "#SBATCH --ntasks-per-node=8",
        "#SBATCH --account=a",
        "#SBATCH --signal=TERM@600",
        "--container-image /i.sqsh",
        "python -m geo_nemo train experiment=meco/8b_with data.store=/data/s 'output_dir=/r/a b'",
    ):
        assert line in shown, line


def test_a_container_is_shown(tmp_path, monkeypatch, capsys):
    from geo_nemo.integrations import nemo_run

    executor = nemo_run.docker("geo-nemo:gpu", gpus=8, volumes=["/data:/data"])
    task = nemo_run.task(SETTINGS, executor=executor)
    shown = dryrun(executor, task, tmp_path, monkeypatch, capsys)
    assert "container_image: geo-nemo:gpu" in shown
    assert "- experiment=meco/8b_with" in shown


def role_of(executor, words):
    """What NeMo-Run makes of `python -m geo_nemo train WORDS`, before its scheduler gets it."""
    import nemo_run as run
    from nemo_run.run.torchx_backend.packaging import package

    from geo_nemo.integrations import nemo_run

    args = [nemo_run.quoted(word, executor) for word in words]
    script = run.Script(path="geo_nemo", m=True, entrypoint="python", args=args)
    (role,) = package("t", script, executor=executor, serialize_metadata_for_scripts=False).roles
    return [role.entrypoint, *role.args]


# What a path may have, but for a quote of Hydra's own.
@pytest.mark.parametrize(
    "word", ["a b", "it's", '"a"', "$HOME", "`id`", "a;b", "a\\b", "*", "[1,2]"]
)
@pytest.mark.parametrize("launcher", ["torchrun", None])
def test_words_reach_a_process_in_a_container_whole(tmp_path, word, launcher):
    """By NeMo-Run's own container; in Docker's place, what its library and bash make of it."""
    import shlex

    from nemo_run.core.execution.docker import DockerContainer

    from geo_nemo.integrations import nemo_run

    executor = nemo_run.docker("geo-nemo:gpu")
    executor.launcher, executor.experiment_id, executor.job_dir = launcher, "e", str(tmp_path)
    words = ["train", f"output_dir=/r/{word}", "last"]
    if launcher and "'" in word:
        with pytest.raises(UserError, match="leave single quotes out"):
            nemo_run.quoted(words[1], executor)
        return
    starts = tmp_path / (launcher or "python")
    starts.write_text(f"#!/bin/bash\nprintf '%s\\0' \"$@\" >{tmp_path}/seen\n")
    starts.chmod(0o755)
    client = MagicMock()
    command = role_of(executor, words)
    container = DockerContainer(name="c", command=command, executor=executor, extra_env={})
    container.run(client=client, id="i")
    _, given = client.containers.run.call_args.args
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(shlex.split(given), env=path, capture_output=True).returncode == 0
    assert (tmp_path / "seen").read_text().split("\0")[-4:-1] == words


def test_a_word_that_torchrun_on_this_machine_would_get_in_quotes_is_one_line(tmp_path):
    from geo_nemo.integrations import nemo_run

    executor = nemo_run.local(2)
    executor.job_dir = str(tmp_path)
    words = ["train", "output_dir=/r/a", "train.lr=1e-3"]
    assert role_of(executor, words)[-3:] == words
    with pytest.raises(UserError, match="leave blanks, brackets and quotation marks out"):
        nemo_run.quoted("output_dir=/r/a b", executor)
    executor.launcher = None
    assert role_of(executor, ["output_dir=/r/a b"])[-1] == "output_dir=/r/a b"


@pytest.mark.parametrize("time", ["1d", "", "1:2", "noon"])
def test_a_time_that_is_none_is_one_line(time):
    import nemo_run as run

    from geo_nemo.integrations import nemo_run

    executor = run.SlurmExecutor(account="a", time=time, tunnel=run.LocalTunnel(job_dir=""))
    with pytest.raises(UserError, match=f"run.executor.time={time} is no time: give minutes"):
        nemo_run._check_job(executor)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda m: m.task(["experiment=none"]), "experiment=none"),
        (lambda m: m.task(["experiment=meco/8b_with"]), "data.store"),
        (lambda m: m.task(SETTINGS, trainer="other"), "trainer=other"),
        (lambda m: m.slurm(["slurm.env_file=/e"]), "slurm.env_file"),
        (lambda m: m.slurm(["slurm.at_once=4"]), "slurm.at_once"),
        (lambda m: m.slurm([]), "slurm.account"),
    ],
)
def test_a_mistake_is_one_line(call, named):
    from geo_nemo.integrations import nemo_run

    with pytest.raises(UserError) as caught:
        call(nemo_run)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_nemo_shows_a_job(tmp_path):
    words = ("run.executor=geo_slurm", "run.executor.account=a", "run.executor.nodes=4")
    settings = as_word(["data.store=/data/s", "output_dir=/runs/a"])
    done = nemo(
        tmp_path,
        "geo",
        "train",
        "--factory",
        "meco__8b_with",
        settings,
        *words,
        "--dryrun",
        "--yes",
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "#SBATCH --nodes=4" in done.stdout
    shown = " ".join(done.stdout.split())  # which cuts lines to the terminal's width
    assert "python -m geo_nemo train experiment=meco/8b_with data.store=/data/s" in shown
    whole = ["experiment=meco/8b_with", "data.store=/data/s", "output_dir=/runs/a"]
    assert f"# the training's config\n{as_yaml(whole_config(whole))}" in done.stdout


def test_the_command_nemo_shows_a_container(tmp_path):
    words = (
        "run.executor=geo_docker",
        "run.executor.container_image=geo:1",
        "run.executor.ntasks_per_node=2",
        'run.executor.volumes=["/data:/data"]',
    )
    settings = as_word(["data.store=/data/s", "output_dir=/runs/a"])
    done = nemo(
        tmp_path, "geo", "train", "--factory", "demo", settings, *words, "--dryrun", "--yes"
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for line in ("container_image: geo:1", "ntasks_per_node: 2", "- /data:/data"):
        assert line in done.stdout, line


@pytest.mark.parametrize("trainer", ["geo_nemo", "nemo"])
def test_the_command_nemo_trains(small_store, tmp_path, trainer):
    _, *settings = small_run(small_store, tmp_path / "run")
    done = nemo(
        tmp_path, "geo", "train", "--factory", "demo", as_word(settings), f"trainer={trainer}", "-y"
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    if trainer == "geo_nemo":
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == STEPS
    else:
        saved = tmp_path / "run" / "demo" / "checkpoints"
        assert any("consumed_samples=64" in path.name for path in saved.iterdir())
