"""Two processes, one of them slow: every line names it."""

import json

import pytest

from tests.dist.launch import launch
from tests.dist.slow_worker import SLEEP_SECONDS


@pytest.mark.very_slow
def test_the_slow_rank_is_named(tiny_store, tmp_path):
    launch(2, "tests.dist.slow_worker", tiny_store, tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    # Work is the wait for data and the step's own: 1 + 1, and 2 + 1.5.
    assert (found["work_min"], found["work_max"], found["work_mean"]) == (2.0, 3.5, 2.75)
    assert found["work_spread"] == pytest.approx(1.5 / 2.75)
    assert (found["slowest_rank"], found["data_wait"]) == (1, 2.0)

    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 6
    for line in map(json.loads, lines):
        timing = line["timing"]
        assert timing["slowest_rank"] == 1, timing
        # Rank 1 slept in both of its micro-batches; rank 0 waited for it, which is not its work.
        assert timing["work_max"] >= 2 * SLEEP_SECONDS > timing["work_min"], timing
        # Steps of two processes do not begin at one instant: rank 0 waited for one sleep at least.
        assert line["seconds"] > SLEEP_SECONDS
