"""`make test-alone` finds a file that passes only behind another."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "alone.py"
PLUGIN = """
def pytest_addoption(parser):
    parser.addoption("--randomly-seed")
"""


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Runs it over files of a folder; its exit code and output. The plugin has the option alone."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p seeded")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "seeded.py").write_text(PLUGIN)

    def run(*options, **files):
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        done = subprocess.run(
            [sys.executable, SCRIPT, *options, "."], cwd=tmp_path, capture_output=True, text=True
        )
        return done.returncode, done.stdout

    return run


@pytest.mark.very_slow
def test_a_file_that_lives_on_another_s_state_fails(alone):
    code, shown = alone(
        "--seed=3",
        a="import builtins\ndef test(): builtins.made = 1",
        b="import builtins\ndef test(): assert builtins.made",
        c="import pytest\npytest.skip('elsewhere', allow_module_level=True)",
    )
    assert code == 1
    assert "seed 3: 3 files" in shown
    assert "2 of 3 files pass alone" in shown
    assert "fails alone: test_b.py" in shown and "has no attribute 'made'" in shown


def test_it_ends_when_its_minutes_are_over(alone):
    code, shown = alone("--minutes=0", a="def test(): ...")
    assert code == 0
    assert "0 of 1 files pass alone, 1 not begun" in shown
