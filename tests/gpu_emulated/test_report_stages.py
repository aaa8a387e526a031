"""Stages of `make gpu-report` that choose tests by a word find some; pytest fails where not."""

import subprocess

import pytest

from benchmarks.gpu_report.stages import ROOT, stages

CHOSEN = sorted(
    {
        words
        for each in stages(ROOT / "none", ROOT / "none", ROOT / "none")
        for words in (each.command, each.emulated)
        if words and "-k" in words
    }
)


@pytest.mark.parametrize("words", CHOSEN, ids=" ".join)
def test_a_choice_of_tests_finds_some(kernels, words):
    done = subprocess.run(
        [*words, "--collect-only"], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout[-500:]
