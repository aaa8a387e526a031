"""Thousands of damaged files of every format: no traceback, no hang, no large memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.data_prep.read.samples import every_format

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("files", [2000, pytest.param(10_000, marks=pytest.mark.very_slow)])
def test_mutated_files_give_records_and_reasons_only(files):
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.unit.data_prep.read.fuzz", str(seed), str(files // 2)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for seed in (0, 1)
    ]  # fmt: skip
    reports = []
    for process in processes:
        try:
            out, log = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            for other in processes:
                other.kill()
            _, log = process.communicate()
            raise AssertionError(f"a reader hangs on case {log.split()[-2:]}") from None
        assert process.returncode == 0, log[-500:]
        reports.append(json.loads(out))
    assert sum(report["cases"] for report in reports) >= files
    for report in reports:
        assert report["by_format"].keys() == every_format().keys()
        assert report["grown_mib"] < 150
        # The mutations are of some use: they reach most of what can be wrong.
        assert len(report["seen"]) > 10
        assert report["seen"]["record"] > report["cases"]
