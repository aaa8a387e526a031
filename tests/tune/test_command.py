"""`geo-nemo tune` in processes: killed and gone on, two processes as one, mistakes in one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="make test-tune installs it")
pytest.importorskip("peft", reason="make test-tune installs it")

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "global_batch_size=4",
    "lr=0.005",
    "log_every_steps=1",
    "device=cpu",
    "seed=3",
    "warmup_steps=0",
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def command(base, data, out, *settings):
    return [sys.executable, "-m", "geo_nemo", "tune", str(base), f"data={data}", f"output={out}",
            *SETTINGS, *settings]  # fmt: skip


def run(words, **options):
    return subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, **options)


@pytest.fixture(scope="module")
def whole(base, data, tmp_path_factory):
    """The output of a tuning that nothing stopped."""
    out = tmp_path_factory.mktemp("whole") / "whole"
    done = run(command(base, data, out, "steps=12", "save_every_steps=2"))
    assert done.returncode == 0, done.stderr
    assert "told all that is known" in done.stdout and "12 steps over" in done.stdout
    return out


def assert_same(out, whole):
    one, other = (load_file(each / "model.safetensors") for each in (whole, out))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not out.with_name("out.partial").exists()


def has_begun(out):
    return out.with_name("out.partial").joinpath("metrics.jsonl").is_file()


def test_what_was_killed_goes_on_to_the_same_weights(base, data, whole, tmp_path):
    settings = ("steps=12", "save_every_steps=2")
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(base, data, out, *settings), env=ENVIRONMENT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    markers = out.with_name("out.partial") / "checkpoints"
    while process.poll() is None and not list(markers.glob("checkpoint-[4-9]/whole.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert not out.exists()
    again = run(command(base, data, out, *settings))
    assert again.returncode == 0, again.stderr
    steps = [line for line in again.stderr.splitlines() if line.startswith("tune: ")]
    assert steps and not any(line.startswith(("tune: 1/", "tune: 2/")) for line in steps)
    assert_same(out, whole)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_what_is_asked_to_stop_saves_and_goes_on_to_the_same_weights(
    number, base, data, whole, tmp_path
):
    out = tmp_path / "out"
    words = command(base, data, out, "steps=12", "save_every_steps=100")
    process = subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not has_begun(out):
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 75, said
    assert f"geo-nemo: {number.name}: saves after this step and stops" in said
    # Of no multiple of 100 steps: the signal's.
    (saved,) = out.with_name("out.partial").glob("checkpoints/checkpoint-*/whole.json")
    step = int(saved.parent.name.removeprefix("checkpoint-"))
    told = f"stopped by {number.name} at step {step} of 12; saved. The same command goes on"
    assert 1 <= step < 12 and told in said and not out.exists()
    again = run(words)
    assert again.returncode == 0, again.stderr
    steps = [line for line in again.stderr.splitlines() if line.startswith("tune: ")]
    assert steps and not any(line.startswith(f"tune: {n}/") for line in steps for n in (1, step))
    assert_same(out, whole)


# accelerate knows processes of one machine as those of GPUs, though these have none.
LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    "accelerate": (
        "accelerate.commands.accelerate_cli", "launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", "0",
    ),
}  # fmt: skip


def tasks_of_srun(words):
    """Two tasks of a step of SLURM, as srun's environment tells them."""
    step = {
        "SLURM_JOB_ID": f"{os.getpid()}", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_NODEID": "0",
    }  # fmt: skip
    own = [{"SLURM_PROCID": f"{n}", "SLURM_LOCALID": f"{n}"} for n in range(2)]
    return [
        subprocess.Popen(
            [sys.executable, *words], env={**ENVIRONMENT, **step, **each}, text=True,
            stdout=subprocess.PIPE if each is own[0] else subprocess.DEVNULL,
            stderr=subprocess.PIPE if each is own[0] else subprocess.DEVNULL,
        )
        for each in own
    ]  # fmt: skip


def by_srun(words, code=0, while_it_runs=lambda first, second: None):
    """Rank 0's end, of two of which each is to end with `code`."""
    first, second = tasks = tasks_of_srun(words)
    try:
        while_it_runs(first, second)
        out, err = first.communicate()
        assert second.wait(60) == code
    finally:
        for task in tasks:
            task.kill()
    return subprocess.CompletedProcess(words, first.returncode, out, err)


def test_what_one_process_is_asked_all_do_after_the_same_step(base, data, tmp_path):
    out = tmp_path / "out"
    words = command(base, data, out, "steps=40", "save_every_steps=100", "method=full")[1:]

    def ask(first, second):
        while first.poll() is None and not has_begun(out):
            time.sleep(0.01)
        second.send_signal(signal.SIGUSR1)

    stopped = by_srun(words, 75, ask)
    assert stopped.returncode == 75, stopped.stderr
    assert "stopped by another rank at step" in stopped.stderr
    (saved,) = out.with_name("out.partial").glob("checkpoints/checkpoint-*")
    # The random state of each.
    states = sorted(path.name for path in saved.glob("rng_state*"))
    assert states == ["rng_state_0.pth", "rng_state_1.pth"]
    again = by_srun(words)
    assert again.returncode == 0 and "40 steps over" in again.stdout, again.stderr[-3000:]


@pytest.mark.parametrize("launcher", [*LAUNCHERS, "srun"])
def test_two_processes_tune_as_one(launcher, base, data, tmp_path):
    settings = ("steps=3", "method=full")
    one = run(command(base, data, tmp_path / "one", *settings))
    assert one.returncode == 0, one.stderr
    words = command(base, data, tmp_path / "two", *settings)[1:]
    if launcher == "srun":
        two = by_srun(words)
    else:
        two = run([sys.executable, "-m", *LAUNCHERS[launcher], *words])
    assert two.returncode == 0, two.stderr[-3000:]
    assert two.stdout.count("3 steps over") == 1
    first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("one", "two"))
    before = load_file(next(base.glob("model-00001*")))
    assert '"processes": 2' in (tmp_path / "two" / "tune.json").read_text()
    # Adam's steps are lr large whatever the gradient; sums in another order may turn those of
    # weights that hardly move. 3 steps of 0.005 lie 1e-2 apart from the base.
    off = torch.cat([(first[n] - second[n]).abs().flatten() for n in first])
    moved = torch.cat([(first[n] - before[n]).abs().flatten() for n in before])
    assert moved.mean() > 3e-3 and off.mean() < 1e-5 and (off > 1e-4).float().mean() < 1e-3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("data=none.jsonl",), "cannot read none.jsonl"),
        (("data=[{path: a, wieght: 2}]",), "unknown key data.0.wieght"),
        (("told.none=0.7", "told.country=0.6"), "none 0.7 and country 0.6 are above 1"),
        (("seq_length=4096",), "seq_length 4,096 is above the model's 128"),
        (("global_batch_size=3", "micro_batch_size=2"), "is no multiple of micro_batch_size 2"),
        (("lora.targets=[wqkv]", "steps=1"), "lora.targets names wqkv"),
        (("lr=high",), "lr='high'"),
    ],
    ids=["file", "key", "fractions", "length", "batch", "target", "number"],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_there(base, data, tmp_path, change, says):
    done = run(command(base, data, tmp_path / "out", *change))
    told = [line for line in done.stderr.splitlines() if not line.startswith(("tokenise", "tune"))]
    assert done.returncode == 2 and len(told) == 1, done.stderr
    assert says in told[0] and not any(tmp_path.iterdir())


def test_weights_in_parts_are_refused(base, data, tmp_path):
    words = command(base, data, tmp_path / "out")
    told = {**ENVIRONMENT, "ACCELERATE_USE_FSDP": "true"}
    done = subprocess.run(words, capture_output=True, text=True, env=told)
    assert done.returncode == 2 and "accelerate was told to use FSDP" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_folder_that_is_no_model_is_one_line(base, data, tmp_path):
    import json
    import shutil

    def broken(name, change):
        folder = tmp_path / name
        shutil.copytree(base, folder)
        change(folder)
        done = run(command(folder, data, tmp_path / "out", "--dry-run"))
        told = [line for line in done.stderr.splitlines() if line.startswith("geo-nemo: ")]
        assert done.returncode == 2 and len(told) == 1, done.stderr
        return told[0]

    def architecture(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "mystery"}))

    def vocabulary(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))

    assert "model_type is 'mystery', which transformers does not know" in broken("a", architecture)
    lacks = broken("b", lambda folder: next(folder.glob("model-00002*")).unlink())
    assert "lacks model-00002-of-00002.safetensors" in lacks
    assert "has 640 tokens and the model 100: it is another model's" in broken("c", vocabulary)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_shows_and_writes_nothing(base, data, tmp_path):
    done = run(command(base, data, tmp_path / "out", "--dry-run", "--show", "2"))
    assert done.returncode == 0 and "ANSWER:" in done.stdout
    assert list(tmp_path.iterdir()) == []
