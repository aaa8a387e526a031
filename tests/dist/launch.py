"""Runs a module of tests in several processes of this machine."""

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from multiprocessing.connection import wait
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.dist.start"])


def launch(processes: int, module: str, *arguments, timeout: float = 1500) -> None:
    """Run `module` on the CPU to its end; AssertionError with its last words where it fails.

    The processes are forked off one that has imported the trainer, which takes 5 s, once for all.
    timeout: seconds, for a machine that others keep busy; what hangs ends by itself before it.
    """
    until = time.monotonic() + timeout
    shared = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1"}
    shared["MASTER_PORT"] = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / f"rank_{rank}.txt" for rank in range(processes)]
        ranks = []
        for rank, words in enumerate(said):
            own = {name: str(n) for name, n in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
            given = (module, [str(a) for a in arguments], os.environ | own, words)
            ranks.append(_PROCESSES.Process(target=_run, args=given))
            words.touch()
            ranks[-1].start()
        running = list(ranks)
        # As under torchrun, the first that fails ends the others.
        while running and not any(rank.exitcode for rank in ranks) and time.monotonic() < until:
            wait([rank.sentinel for rank in running], until - time.monotonic())
            running = [rank for rank in running if rank.is_alive()]
        late = [rank for rank in ranks if rank.is_alive()]
        for rank in ranks:
            rank.kill()
            rank.join()
        failed = [n for n, rank in enumerate(ranks) if rank.exitcode and rank not in late]
        assert not late or failed, f"{module} takes longer than {timeout} s"
        words = [f"rank {n} of {module}: {said[n].read_text()[-3000:]}" for n in failed]
        assert not failed, words[0]


def torchrun(processes: int, module: str, *arguments, timeout: float = 1500) -> None:
    """The same by torchrun, whose processes import everything, and on the device that is there."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-3000:]


def _run(module: str, arguments: list[str], environment: dict[str, str], words: Path) -> None:
    """In a process of its own: `module` as a command, which prints to the file `words`."""
    os.environ.clear()
    os.environ.update(environment)
    with words.open("w") as file:
        for output in (1, 2):
            os.dup2(file.fileno(), output)
    warnings.simplefilter("ignore")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]
