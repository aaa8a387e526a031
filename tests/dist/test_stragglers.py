"""Two processes, one of them slow: every line names it."""

import json

import pytest

from tests.dist.launch import launch


def test_the_slow_rank_is_named(tmp_path):
    path = tmp_path / "found.json"
    launch(2, "tests.dist.slow_worker", path)
    found = json.loads(path.read_text())
    # Work is the wait for data and the step's own: 1 + 1, and 2 + 1.5.
    assert (found["work_min"], found["work_max"], found["work_mean"]) == (2.0, 3.5, 2.75)
    assert found["work_spread"] == pytest.approx(1.5 / 2.75)
    assert (found["slowest_rank"], found["data_wait"]) == (1, 2.0)
