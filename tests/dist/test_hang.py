"""When one of two ranks hangs, both end within the set time, and each leaves its stacks."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_rank_that_hangs_ends_the_job_with_the_stacks_of_every_rank(tiny_store, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, "-m", "tests.dist.start", "tests.dist.hanging_worker", str(tiny_store), tmp_path],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode != 0
    waits, hangs = ((tmp_path / "stacks" / f"rank_0000{r}.txt").read_text() for r in range(2))
    assert "in exchange" in waits
    assert "hanging_worker.py" in hangs and "in on_step" in hangs
    for rank in range(2):
        assert f"geo-nemo: rank {rank} made no progress for " in done.stderr
