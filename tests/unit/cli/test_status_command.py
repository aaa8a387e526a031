"""`geo-nemo status`: what it prints, its codes, and that it is quick."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.support.command import call
from tests.unit.diagnostics.run_folders import Folder


@pytest.fixture
def status(monkeypatch, capsys):
    def run(*arguments):
        return call(monkeypatch, capsys, "status", *map(str, arguments), COLUMNS="200")

    return run


def test_a_table_and_the_last_error_below_it(tmp_path, status):
    Folder(tmp_path / "a").record().metrics(0, 1).beat(2).checkpoint(1)
    Folder(tmp_path / "b").record(sessions=2).beat(4).end("failed", "no [bold]room[/bold]")
    code, out, err = status(tmp_path)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    (first,) = (line for line in lines if line.startswith(f"{tmp_path}/a"))
    assert "running 2/6 condition 1/2 4.500 1,000 8 s" in first
    assert "failed 4/6 cooldown 2/2" in next(line for line in lines if f"{tmp_path}/b f" in line)
    path, _, told = lines[-1].partition(": ")
    assert path == f"{tmp_path}/b"
    assert re.fullmatch(r"\d+ s ago, no \[bold\]room\[/bold\] \(end.json\)", told)


def test_broken_ones_are_a_line_each_and_the_code_is_2(tmp_path, status):
    Folder(tmp_path / "a").record().beat(2)
    broken = Folder(tmp_path / "b")
    broken.write("run.json", "{")
    code, out, _ = status(tmp_path / "a", tmp_path / "b", tmp_path / "none")
    assert code == 2
    assert out.splitlines()[-2:] == [
        f"{tmp_path}/b: run.json is cut off or no JSON",
        f"{tmp_path}/none: No such file or directory",
    ]
    assert f"{tmp_path}/a  running" in out


def test_json_has_all_of_it(tmp_path, status):
    Folder(tmp_path / "a").record().metrics(0).beat(1)
    code, out, _ = status(tmp_path / "a", "--json")
    (found,) = json.loads(out)
    assert code == 0
    assert (found["state"], found["step"], found["seconds_per_step"]) == ("running", 1, 2.0)
    assert found["stages"][1] == {"name": "cooldown", "first_step": 3, "last_step": 6}


def test_hundreds_of_runs_take_a_moment_and_no_torch(tmp_path):
    for number in range(300):
        folder = Folder(tmp_path / f"{number:03d}").record().beat(2)
        folder.write("metrics.jsonl", '{"step": 1, "loss": 3.5, "seconds": 1}\n' * 10_000)
    code = (
        "import sys\nfrom geo_nemo.cli.main import cli\n"
        f"cli(['status', {str(tmp_path)!r}, '--json'], standalone_mode=False)\n"
        "assert not {'torch', 'megatron', 'numpy', 'hydra'} & sys.modules.keys()\n"
    )
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 300
    assert time.monotonic() - begin < 30  # 2 s on idle cores


def test_watch_goes_on_until_ctrl_c(tmp_path):
    Folder(tmp_path / "a").record().beat(2)
    command = [sys.executable, "-m", "geo_nemo", "status", str(tmp_path / "a"), "--watch", "0.5"]
    # Tests that a shell has started in the background ignore Ctrl-C, and so would the command.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    seen = 0
    for line in process.stdout:
        seen += line.startswith("geo-nemo status")
        if seen == 2:
            process.send_signal(2)
            break
    assert process.wait(60) == 0
