"""`shard=true`: weights divided among two processes, beside weights that each holds whole."""

import signal
import subprocess
import time

import pytest

pytest.importorskip("trl", reason="make test-tune installs it")
pytest.importorskip("peft", reason="make test-tune installs it")

import psutil
import torch
from safetensors.torch import load_file

from tests.tune.test_command import ENVIRONMENT, LAUNCHERS, command, run

SETTINGS = ("save_every_steps=2", "micro_batch_size=1")
WHOLE, SHARDED = "geo_nemo", "tests.tune.sharded_worker"


def words_of(module, base, data, out, *settings):
    python, _, _, *words = command(base, data, out, *SETTINGS, *settings)
    return [python, "-m", *LAUNCHERS["torchrun"], "-m", module, *words]


def tune(*arguments):
    done = run(words_of(*arguments))
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def weights(out):
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_divided_weights_are_tuned_as_whole_ones(method, base, data, tmp_path):
    settings = (f"method={method}", "lora.dropout=0", "steps=6")
    tune(WHOLE, base, data, tmp_path / "whole", *settings)
    tune(SHARDED, base, data, tmp_path / "sharded", *settings, "shard=true")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "sharded")
    assert one.keys() == other.keys()
    before = load_file(next(base.glob("model-00001*")))
    # As two processes beside one: Adam's steps are lr large whatever the gradient, and sums in
    # another order may turn those of weights that hardly move.
    off = torch.cat([(one[name] - other[name]).abs().flatten() for name in one])
    moved = max(float((one[name] - before[name]).abs().max()) for name in before)
    assert moved > 3e-3 and off.mean() < 1e-5 and (off > 1e-4).float().mean() < 1e-3
    if method == "lora":
        adapter = load_file(tmp_path / "sharded" / "adapter" / "adapter_model.safetensors")
        assert any("lora_B" in name and bool(each.any()) for name, each in adapter.items())


def test_divided_weights_that_were_killed_go_on_to_the_same_bits(base, data, tmp_path):
    settings = ("shard=true", "method=full", "steps=12")
    tune(SHARDED, base, data, tmp_path / "whole", *settings)
    out = tmp_path / "out"
    words = words_of(SHARDED, base, data, out, *settings)
    process = subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoints = out.with_name("out.partial") / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("checkpoint-[4-9]/whole.json")):
        time.sleep(0.01)
    # torchrun's processes are no group of its own.
    for each in [*psutil.Process(process.pid).children(recursive=True), process]:
        each.kill()
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    # Each process has written its part.
    (*_, newest) = sorted(checkpoints.glob("checkpoint-*/whole.json"))
    assert len(list(newest.parent.glob("pytorch_model_fsdp_0/*.distcp"))) == 2
    again = run(words)
    assert again.returncode == 0, again.stderr[-3000:]
    steps = [line for line in again.stderr.splitlines() if line.startswith("tune: ")]
    assert steps and not any(line.startswith(("tune: 1/", "tune: 2/")) for line in steps)
    one, other = weights(tmp_path / "whole"), weights(out)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_cpu_divides_nothing(base, data, tmp_path):
    done = run(command(base, data, tmp_path / "out", "steps=1", "shard=true"))
    assert done.returncode == 2
    assert "shard=true needs a GPU for each process" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()
