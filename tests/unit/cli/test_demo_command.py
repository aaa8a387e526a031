"""How `geo-nemo demo` ends: with the code of what stopped it, whatever its own work was.

Its commands are processes that end at once here; the whole way is in tests/e2e/test_demo.py.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from geo_nemo.cli import demo
from tests.support.command import call


@pytest.mark.parametrize(
    ("codes", "ends_with", "says"),
    [
        ({"without": 75}, 75, "demo: stopped and saved; the same command goes on from there"),
        ({"with": 130, "without": 130}, 75, "demo: stopped and saved; the same command goes on"),
        ({"with": 2}, 2, "training with ended with code 2: no such key"),
        ({"without": 1}, 1, "training without ended with code 1: no such key"),
        ({"synth": 130}, 130, ""),
        ({"eval": 2}, 2, ""),
        ({}, 0, ""),
    ],
)
def test_the_demo_ends_with_the_code_of_what_stopped_it(
    monkeypatch, capsys, tmp_path, codes, ends_with, says
):
    def process(name, *settings):
        of = next((word[5:] for word in settings if word.startswith("name=")), name)
        text = "import sys; print('geo-nemo: no such key', file=sys.stderr); sys.exit({})"
        return [sys.executable, "-c", text.format(codes.get(of, 0))]

    monkeypatch.setattr(demo, "_command", process)
    code, _, told = call(monkeypatch, capsys, "demo", "--out", str(tmp_path / "d"))
    assert code == ends_with and says in told, told


# Commands that say where they are, and end at SIGTERM with 75, as a training does, or unheard.
STANDS = """
import pathlib, signal, sys, time
from geo_nemo.cli import demo
from geo_nemo.cli.main import main
def process(name, *settings):
    listens = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75));" if {listens} else ""
    name = next((word[5:] for word in settings if word.startswith("name=")), name)
    wait = 60 if name in {waits} else 0
    touch = f"pathlib.Path({folder!r}, {{name!r}}).write_text(str(os.getpid()))"
    text = f"import os, pathlib, signal, sys, time; {{listens}} {{touch}}; time.sleep({{wait}})"
    return [sys.executable, "-c", text]
demo._command = process
sys.argv = ["geo-nemo", "demo", "--out", {out!r}]
main()
"""


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("waits", [("prep",), ("with", "without")])
def test_a_demo_that_is_ended_ends_its_commands(tmp_path, waits, listens):
    """A scheduler's SIGTERM reaches the demo alone, where Ctrl-C reaches them all."""
    marks = tmp_path / "marks"
    marks.mkdir()
    text = STANDS.format(listens=listens, waits=waits, folder=str(marks), out=str(tmp_path / "d"))
    process = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while time.monotonic() < end and not all((marks / name).exists() for name in waits):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.2)
    pids = [int((marks / name).read_text()) for name in waits]
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=30)[1]
    assert process.returncode == 75, told
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
