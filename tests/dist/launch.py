"""Runs a module of tests in several processes of this machine."""

import os
import subprocess
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path

from tests.support.ports import free_ports
from tests.support.processes import Process

ROOT = Path(__file__).parents[2]


def launch(processes: int, module: str, *arguments, timeout: float = 1500) -> None:
    """Run `module` on the CPU to its end; AssertionError with its last words where it fails.

    timeout: seconds, for a machine that others keep busy; what hangs ends by itself before it.
    """
    until = time.monotonic() + timeout
    size, (port,) = str(processes), free_ports(1)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    ranks = [
        Process(module, *arguments, **shared, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(processes)
    ]
    running = list(ranks)
    # As under torchrun, the first that fails ends the others.
    while running and not any(rank.returncode for rank in ranks) and time.monotonic() < until:
        wait([rank.sentinel for rank in running], until - time.monotonic())
        running = [rank for rank in running if rank.returncode is None]
    failed = [number for number, rank in enumerate(ranks) if rank.returncode]
    for rank in ranks:
        rank.kill()
    said = [rank.communicate()[1] for rank in ranks]
    assert not failed, f"rank {failed[0]} of {module}: {said[failed[0]][-3000:]}"
    assert not running, f"{module} takes longer than {timeout} s"


def torchrun(processes: int, module: str, *arguments, timeout: float = 1500) -> None:
    """The same by torchrun, whose processes import everything, and on the device that is there."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-3000:]
