"""`geo-nemo train` as a user meets it: the plan, and every mistake as one line and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geo_nemo.cli import train as train_command
from tests.support.command import SMALL, call

ROOT = Path(__file__).parents[3]
SETTINGS = (
    *SMALL,
    "train.steps=4",
    "train.warmup_steps=2",
    "train.micro_batch_size=4",
)


@pytest.fixture
def train(tiny_store, tmp_path, monkeypatch, capsys):
    """Run the command in this process: its exit code, what it printed, and to stderr."""

    def run(*overrides, **environment):
        settings = (*SETTINGS, f"data.store={tiny_store}", f"output_dir={tmp_path / 'out'}")
        return call(monkeypatch, capsys, "train", *settings, *overrides, **environment)

    return run


def test_a_dry_run_prints_the_plan_and_creates_nothing(train, tmp_path):
    code, printed, errors = train("--dry-run", COLUMNS="120")
    assert (code, errors) == (0, "")
    for text in ("condition", "cooldown", "url, country, continent", "parameters", "Memory a rank"):
        assert text in printed
    # 4 steps of 8 rows of 128 tokens: 3.6 and 0.4 of them, rounded so that each stage has one.
    lines = [line.split() for line in printed.splitlines()]
    assert any("3,072" in line for line in lines)
    assert any("1,024" in line for line in lines)
    assert any("4,096" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_layout_for_many_processes_needs_only_their_number(train):
    code, printed, _ = train("--dry-run", "parallel.tensor=2", WORLD_SIZE="4", RANK="0")
    assert code == 0
    assert "2 x 1 x 2" in printed


def test_only_rank_zero_prints_the_plan(train):
    assert train("--dry-run", WORLD_SIZE="2", RANK="1") == (0, "", "")


ONE, TWO, SIX = {}, {"WORLD_SIZE": "2"}, {"WORLD_SIZE": "6"}
MISTAKES = {
    "heads": (["parallel.tensor=3"], SIX, "num_attention_heads: 4 is not a multiple of parallel."),
    "groups": (["parallel.tensor=4"], {"WORLD_SIZE": "4"}, "num_query_groups: 2 is not a multiple"),
    "ffn": (["parallel.tensor=2", "model.ffn_hidden_size=95"], TWO, "ffn_hidden_size: 95 is not a"),
    "layers": (["parallel.pipeline=3"], SIX, "num_layers=2 is not a multiple of parallel.pipeline"),
    "processes": (
        ["parallel.tensor=2"],
        ONE,
        "needs a multiple of 2 processes, and this job has 1",
    ),
    "odd": (
        ["parallel.tensor=2"],
        {"WORLD_SIZE": "3"},
        "needs a multiple of 2 processes, and this",
    ),
    "sequence": (["parallel.sequence_parallel=true"], ONE, "needs parallel.tensor above 1"),
    "gather": (["parallel.overlap_param_gather=true"], ONE, "parallel.overlap_grad_reduce=true"),
    "no shards": (
        ["parallel.overlap_param_gather=true", "parallel.distributed_optimizer=false"],
        ONE,
        "needs parallel.distributed_optimizer=true",
    ),
    "batch": (["train.global_batch_size=6"], ONE, "train.global_batch_size=6 is not a multiple of"),
    "ranks": ([], {"WORLD_SIZE": "4"}, "4 data-parallel ranks = 16; choose a multiple of 16"),
    "zero": (["parallel.tensor=0"], ONE, "parallel.tensor=0: input should be greater than 0"),
    "steps": (["train.steps=1"], ONE, "train.steps 1 is fewer than the 2 stages"),
    "misspelt": (["train.stepz=3"], ONE, "unknown key train.stepz; did you mean train.steps?"),
    "no store": (["data.store=/nowhere/store"], ONE, "/nowhere/store"),
    "no output": (["output_dir=???"], ONE, "no value for output_dir"),
    "gpu": (["device=gpu"], ONE, "device=gpu: torch sees no GPU here"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_code_two_and_creates_nothing(train, tmp_path, mistake):
    overrides, environment, message = MISTAKES[mistake]
    if mistake == "gpu":
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
    code, printed, errors = train(*overrides, **environment)
    assert (code, printed) == (2, "")
    assert errors.startswith("geo-nemo: ")
    assert errors.count("\n") == 1
    assert message in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a file in the way", "a record of something else"])
def test_an_output_folder_that_cannot_serve_is_a_line_too(train, tmp_path, name):
    if name == "a file in the way":
        (tmp_path / "out").write_text("")
        message = "cannot write"
    else:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "run.json").write_text("[]")
        message = "is not a run record: give another output_dir"
    code, _, errors = train()
    assert code == 2
    assert errors.count("\n") == 1
    assert message in errors


def test_another_rank_speaks_only_where_rank_zero_did_not(train, monkeypatch):
    waited = []
    monkeypatch.setattr(train_command.time, "sleep", waited.append)
    code, _, errors = train("parallel.tensor=3", WORLD_SIZE="6", RANK="1")
    assert (code, waited) == (2, [train_command.RANK_ZERO_SPEAKS_S])
    assert errors.count("\n") == 1
    train("parallel.tensor=3", WORLD_SIZE="6", RANK="0")
    assert len(waited) == 1


@pytest.mark.parametrize("mistake", ["layout", pytest.param("output", marks=pytest.mark.very_slow)])
def test_under_torchrun_a_mistake_is_said_once_and_ends_the_job_soon(tiny_store, tmp_path, mistake):
    (tmp_path / "file").write_text("")
    settings = [*SETTINGS, f"data.store={tiny_store}"]
    if mistake == "layout":
        settings += [f"output_dir={tmp_path / 'out'}", "parallel.pipeline=4"]
        message = "geo-nemo: model.num_layers=2 is not a multiple of parallel.pipeline=4"
    else:  # found by rank 0 alone, while the other one waits for it
        settings += [f"output_dir={tmp_path / 'file' / 'out'}"]
        message = "geo-nemo: cannot write"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    # A rank that waits for another that is gone waits ten minutes.
    done = subprocess.run(
        [*launch, "-m", "geo_nemo", "train", *settings],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1  # torchrun's own; it tells that rank 0 ended with code 2
    assert "exitcode  : 2" in done.stderr
    assert done.stderr.count(message) == 1
    assert done.stderr.count("geo-nemo: ") == 1
