"""Progress on an error output that is no terminal, unless nothing but errors is to be told."""

import pytest

from geo_nemo.cli.progress import progress_bar


@pytest.mark.parametrize(("level", "lines"), [("info", 1), ("error", 0), ("warning", 0)])
def test_progress_is_told_where_lines_of_its_level_are(capsys, monkeypatch, level, lines):
    monkeypatch.setenv("GEO_NEMO_LOG", level)
    with progress_bar() as progress:
        progress("read", 3, 3)
    assert capsys.readouterr().err.splitlines() == ["read: 3/3"] * lines
