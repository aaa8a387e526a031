"""geo-nemo allreduce: its sums are exact for every number of processes, and told by node."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from geo_nemo.diagnostics.allreduce import Measured, sum_of, value_of


@pytest.mark.parametrize("size", [1, 2, 60, 61, 62, 122, 5_793, 8_192, 100_000])
def test_a_sum_of_all_ranks_is_exact_in_fp32(size):
    values = np.array([value_of(place) for place in range(size)], np.float32)
    # One after the other, as around a ring, from either end; in pairs, as in a tree.
    for added in (np.cumsum(values)[-1], np.cumsum(values[::-1])[-1], values.sum()):
        assert added == sum_of(size) == values.astype(np.int64).sum()
    assert len(set(map(value_of, range(min(size, 61))))) == min(size, 61)


def test_a_node_is_slow_by_what_it_reaches_itself():
    measured = Measured({"a": 300.0, "b": 299.0, "c": 301.0}, 40.0)
    assert measured.slow(300) == ["b"] and measured.slow(1) == []


@pytest.mark.parametrize(
    ("least", "code"), [pytest.param("1e-6", 0, marks=pytest.mark.very_slow), ("1e9", 1)]
)
def test_two_processes_measure_and_write_what_they_found(tmp_path, least, code):
    out = tmp_path / "all reduce.json"
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    command += ["geo_nemo", "allreduce", "--device", "cpu", "--megabytes", "1", "--rounds", "3"]
    done = subprocess.run(
        [sys.executable, *command, "--output", str(out), "--min-busbw", least],
        env={**os.environ, "SLURMD_NODENAME": "cpu-7", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    found = json.loads(out.read_text())
    assert found["processes"] == 2 and found["busbw_gb_per_s"]["all"] > 0
    assert list(found["busbw_gb_per_s"]["nodes"]) == ["cpu-7"]
    slow = ["cpu-7"] * code
    assert found["slow"] == slow
    assert (tmp_path / "all reduce.json.slow").read_text().split() == slow
