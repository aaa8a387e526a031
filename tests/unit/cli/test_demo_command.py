"""How `geo-nemo demo` ends: with the code of what stopped it, whatever its own work was.

Its commands are processes that end at once here; the whole way is in tests/e2e/test_demo.py.
"""

import sys

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
