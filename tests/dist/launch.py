"""Starts a module of tests in several processes of this machine, as torchrun does."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def launch(
    processes: int, module: str, *arguments, timeout: float = 1500, on_gpu: bool = False
) -> None:
    """Run `module` to its end; AssertionError with its last words where it fails.

    on_gpu: Megatron-Core is left as it is, where else it is made ready for a CPU.
    timeout: seconds, for a machine that others keep busy; what hangs ends by itself before it.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m"]
    command += [module] if on_gpu else ["tests.dist.start", module]
    command += map(str, arguments)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-3000:]
