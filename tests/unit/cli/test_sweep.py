"""`geo-nemo train --multirun`: runs of a sweep one after another, and what ends the sweep."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from geo_nemo.cli import sweep as sweeping
from tests.support.command import SMALL, call

SETTINGS = (
    *SMALL,
    "device=cpu",
    "train.steps=2",
    "train.warmup_steps=1",
    "train.micro_batch_size=8",
)
NAMES = ["train.lr=0.001", "train.lr=0.002", "train.lr=0.003"]
VALUES = "train.lr=1e-3,2e-3,3e-3"


@pytest.fixture
def train(tiny_store, tmp_path, monkeypatch, capsys):
    """Run `geo-nemo train --multirun` in this process: its code, what it printed, and to stderr."""

    def run(*overrides, **environment):
        settings = (*SETTINGS, f"data.store={tiny_store}", f"output_dir={tmp_path / 'out'}")
        arguments = ("train", "--multirun", *settings, *overrides)
        return call(monkeypatch, capsys, *arguments, **environment)

    return run


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Let runs be small programs: what each learning rate's does, and which were started."""
    programs: dict[str, str] = {}
    monkeypatch.setattr(sweeping, "check_chips", lambda members: None)

    def command(settings):
        (rate,) = (s.partition("=")[2] for s in settings if s.startswith("train.lr="))
        with (tmp_path / "started").open("a") as file:
            file.write(f"train.lr={rate}\n")
        return [sys.executable, "-c", programs.get(rate, "")]

    monkeypatch.setattr(sweeping, "_command", command)

    def started():
        path = tmp_path / "started"
        return path.read_text().splitlines() if path.exists() else []

    programs["started"] = started
    return programs


@pytest.mark.very_slow
def test_each_run_is_trained_in_its_folder_and_passed_over_when_it_is_finished(
    train, tmp_path, monkeypatch
):
    values = "train.lr=1e-3,2e-3"
    code, _, errors = train(values, OMP_NUM_THREADS="1")
    assert code == 0, errors
    runs = [tmp_path / "out" / name for name in NAMES[:2]]
    for run, rate in zip(runs, (0.001, 0.002), strict=True):
        record = json.loads((run / "run.json").read_text())
        assert record["config"]["train"]["lr"] == rate
        assert record["command"].startswith("geo-nemo train experiment=demo")
        assert len((run / "metrics.jsonl").read_text().splitlines()) >= 1
        assert (run / "checkpoints" / "step_00000002" / "geo_nemo.json").exists()
    code, printed, errors = train(values, "--dry-run")
    assert code == 0, errors
    assert "run 1 of 2, train.lr=0.001, finished" in printed
    monkeypatch.setattr(sweeping, "_command", lambda settings: [sys.executable, "-c", "1/0"])
    code, _, errors = train(values)
    assert code == 0, errors
    assert errors.count("is finished, passed over") == 2
    # What was made with other settings is told before anything is trained.
    code, _, errors = train("train.lr=5e-3,1e-3", "train.weight_decay=0.5")
    assert code == 2 and errors.count("\n") == 1
    assert "train.lr=0.001: train.weight_decay changed since the checkpoint" in errors
    assert not (tmp_path / "out" / "train.lr=0.005").exists()


def test_a_run_whose_copies_are_wanted_is_started_again(tiny_store, tmp_path):
    """It alone knows whether the bucket has all."""
    from geo_nemo.train.setup import prepare
    from tests.support.tiny import tiny_run

    for remote, expected in ((None, True), ("s3://bucket/run", False)):
        checkpoint = {"every_steps": 3, "remote": remote}
        prepared = prepare(tiny_run(tiny_store, tmp_path, checkpoint=checkpoint), 1)
        _pretend_end(tmp_path, prepared.fingerprint, step=6)
        assert sweeping.is_finished(prepared) is expected


@pytest.mark.parametrize(
    ("step", "ledger", "finished"), [(6, 6, True), (3, 3, False), (6, 3, False), (6, None, False)]
)
def test_finished_is_the_last_step_with_its_ledger(tiny_store, tmp_path, step, ledger, finished):
    from geo_nemo.train.setup import prepare
    from tests.support.tiny import tiny_run

    prepared = prepare(tiny_run(tiny_store, tmp_path), 1)
    assert not sweeping.is_finished(prepared)
    _pretend_end(tmp_path, prepared.fingerprint, step, ledger)
    assert sweeping.is_finished(prepared) is finished
    (tmp_path / "checkpoints" / f"step_{step:08d}" / "foreign").touch()
    assert not sweeping.is_finished(prepared)


def _pretend_end(output, fingerprint, step, ledger=6):
    from geo_nemo.train.checkpoint.files import write_record

    folder = output / "checkpoints" / f"step_{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, {"step": step, "fingerprint": fingerprint}, {})
    if ledger is not None:
        (output / "ledger.json").write_text(json.dumps({"step": ledger}))


def test_a_mistake_in_any_run_is_one_line_before_the_first_starts(train, pretended, tmp_path):
    mistakes = {
        "train.steps=2,1": "train.steps=1: train: train.steps 1 is fewer than the 2 stages",
        "train.lr=1e-3,-1": "train.lr=-1: train: train.lr=-1: input should be greater than 0",
        "parallel.tensor=1,2": "parallel.tensor=2: parallel.tensor=2",
        "train.stepz=2,3": "train.stepz=2: train: unknown key train.stepz; did you mean train.step",
        "seed=1,1": "--multirun: runs 0 and 1 both have output_dir=",
        "seed=1": "--multirun, but no setting has several values: KEY=A,B",
    }
    for override, message in mistakes.items():
        code, printed, errors = train(override)
        assert (code, printed, errors.count("\n")) == (2, "", 1), errors
        assert errors.startswith(f"geo-nemo: {message}"), errors
    assert pretended["started"]() == []
    assert list(tmp_path.iterdir()) == []


def test_what_the_chip_cannot_do_is_known_before_the_first_starts(train, monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(sweeping, "_command", started.append)
    code, _, errors = train("precision=fp32,bf16_moments")
    assert code == 2 and errors.count("\n") == 1
    assert "precision=bf16_moments: precision.moments=bf16 needs a GPU" in errors
    assert started == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "0", "WORLD_SIZE": "2"},
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "n1"},
    ],
    ids=["torchrun", "srun"],
)
def test_several_processes_are_refused_in_one_line(train, pretended, monkeypatch, environment):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
                 "MASTER_PORT"):  # fmt: skip
        monkeypatch.setenv(name, "")  # so that what the command sets is taken back
        monkeypatch.delenv(name)
    code, _, errors = train(VALUES, **environment)
    assert code == 2 and errors.count("\n") == 1
    assert "2 were started: leave out torchrun or srun, or take geo-nemo launch" in errors
    assert pretended["started"]() == []


def test_a_refused_run_ends_the_sweep_and_is_named(train, pretended):
    pretended["0.002"] = "raise SystemExit(2)"
    code, _, errors = train(VALUES)
    assert code == 2
    assert pretended["started"]() == NAMES[:2]
    assert errors.splitlines() == [
        "geo-nemo: run 1 of 3, train.lr=0.001",
        "geo-nemo: run 2 of 3, train.lr=0.002",
        "geo-nemo: the sweep ends: run 2 of 3, train.lr=0.002, is refused as said above; "
        "1 after it not begun",
    ]


def test_a_failed_run_lets_the_others_go_on_and_is_named_at_the_end(train, pretended):
    pretended["0.001"] = "raise SystemExit(1)"
    code, _, errors = train(VALUES)
    assert code == 1
    assert pretended["started"]() == NAMES
    assert errors.splitlines()[-1] == (
        "geo-nemo: 1 of 3 runs failed: train.lr=0.001; the same command tries these again"
    )


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(75)", 75),
        ("raise SystemExit(130)", 130),
        ("import os; os.kill(os.getpid(), 9)", 137),
    ],
)
def test_every_other_end_is_the_sweep_s(train, pretended, program, code):
    pretended["0.001"] = program
    ended, _, errors = train(VALUES)
    assert ended == code
    assert pretended["started"]() == NAMES[:1]
    assert f"run 1 of 3, train.lr=0.001, ended with code {code}; 2 after it not begun" in errors


SAVES = (
    "import signal, sys, pathlib\n"
    "signal.signal({number}, lambda *_: sys.exit({code}))\n"
    "pathlib.Path({ready!r}).touch()\n"
    "signal.pause()\n"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.parametrize("code", [75, 0, -1])
def test_a_stop_signal_is_handed_on_and_no_other_run_begins(
    train, pretended, tmp_path, number, code
):
    """code: of the run after it: saved; at its last step anyway; -1: killed, it does not listen."""
    ready = tmp_path / "ready"
    pretended["0.001"] = SAVES.format(number=int(number), code=code, ready=str(ready))
    if code == -1:
        default = f"signal.signal({int(number)}, signal.SIG_DFL)"
        pretended["0.001"] = SAVES.replace("signal.signal({number}, lambda *_: sys.exit({code}))",
                                           default).format(ready=str(ready))  # fmt: skip
    before = signal.getsignal(number)

    def send():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    ended, _, errors = train(VALUES)
    assert ended == 75, errors
    assert pretended["started"]() == NAMES[:1]
    assert signal.getsignal(number) is before
    if code == 0:
        assert f"stopped by {number.name} before run 2 of 3, train.lr=0.002" in errors


@pytest.mark.very_slow
def test_a_real_sweep_is_stopped_saved_and_goes_on(tiny_store, tmp_path):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "geo_nemo", "train", "--multirun", *SETTINGS]
    command += [f"data.store={tiny_store}", f"output_dir={output}", "seed=1,2"]
    long = [*command, "train.steps=2000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(long, env=environment, stderr=subprocess.PIPE, text=True)
    metrics = output / "seed=1" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate()
    assert process.returncode == 75, errors[-2000:]
    assert "run 1 of 2, seed=1, ended with code 75; 1 after it not begun" in errors
    (checkpoint,) = (output / "seed=1" / "checkpoints").glob("step_*")
    assert (checkpoint / "geo_nemo.json").exists()
    assert not Path(output / "seed=2").exists()


def test_whole_configs_of_a_sweep_are_yaml_documents(train):
    code, printed, errors = train("seed=1,2", "--cfg", "job")
    assert (code, errors) == (0, "")
    first, second = yaml.safe_load_all(printed)
    assert (first["seed"], second["seed"]) == (1, 2)
    assert second["output_dir"] == f"{first['output_dir'].removesuffix('seed=1')}seed=2"
