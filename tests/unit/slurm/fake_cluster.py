"""A cluster of pretended nodes on this machine, on which slurm/*.sbatch run as real processes.

`Cluster` makes a folder with commands srun, scontrol, squeue and sbatch, all of them this file,
and starts jobs. srun starts its tasks as real processes with SLURM's variables, passes SIGUSR1 on,
kills its tasks at SIGTERM as the real one does, and ends with the largest exit code. A node may
have commands of its own, such as nvidia-smi or date. `calls.jsonl` keeps how each was called.
"""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMMANDS = ("srun", "scontrol", "squeue", "sbatch", "scancel", "sinfo", "sacctmgr")


class Cluster:
    """Nodes named `nodes`, each for `tasks` tasks of a job."""

    def __init__(self, folder: Path, nodes=("n1",), tasks: int = 1):
        self.folder = folder
        self.nodes, self.tasks = tuple(nodes), tasks
        (folder / "bin").mkdir(parents=True)
        for name in COMMANDS:
            self.everywhere(name, f'exec "{sys.executable}" "{__file__}" {name} "$@"')

    @staticmethod
    def command(path: Path, text: str) -> Path:
        """Write an executable."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def on_node(self, node: str, name: str, text: str) -> None:
        """A command that only `node` has."""
        self.command(self.folder / "node" / node / name, f"#!/bin/bash\n{text}\n")

    def everywhere(self, name: str, text: str) -> None:
        """A command that every node has."""
        self.command(self.folder / "bin" / name, f"#!/bin/bash\n{text}\n")

    def deny(self, *words: str) -> None:
        """Have scontrol fail where it is called with these words."""
        with (self.folder / "denied").open("a") as file:
            file.write(" ".join(words) + "\n")

    def calls(self, name: str) -> list[list[str]]:
        """Arguments of each call of a command."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [arguments for called, *arguments in map(json.loads, lines) if called == name]

    def environment(self, restart: int = 0, job: int = 42, **changes: str) -> dict[str, str]:
        size = len(self.nodes)
        own = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(
                ("SLURM", "GEO_NEMO", "NCCL", "TRITON", "TORCHINDUCTOR", "CUDA_CACHE")
            )
        }
        return {
            **own,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "FAKE_CLUSTER": str(self.folder),
            "SLURM_JOB_ID": str(job),
            "SLURM_JOB_NUM_NODES": str(size),
            "SLURM_JOB_NODELIST": ",".join(self.nodes),
            "SLURM_NTASKS": str(size * self.tasks),
            "SLURM_RESTART_COUNT": str(restart),
            "GEO_NEMO_SLURM": str(ROOT / "slurm"),
            "GEO_NEMO_COMMAND": shlex.join([sys.executable, "-m", "geo_nemo"]),
            "GEO_NEMO_GPUS": "0",
            "GEO_NEMO_MIN_FREE_GB": "0",
            **changes,
        }

    def start(self, *settings: str, script="train.sbatch", **environment) -> subprocess.Popen:
        """Start one run of the job, as slurmd would."""
        return subprocess.Popen(
            ["bash", str(ROOT / "slurm" / script), *settings],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *settings: str, **environment) -> tuple[int, str]:
        """Exit code and log of one run of the job."""
        process = self.start(*settings, **environment)
        try:
            log, _ = process.communicate(timeout=900)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, log

    def run_to_the_end(self, *settings: str, most: int = 10, **environment):
        """Start the job again as long as it is requeued; codes and logs of all its runs."""
        codes, logs = [], []
        for restart in range(most):
            before = len(self.requeues())
            code, log = self.run(*settings, restart=restart, **environment)
            codes.append(code)
            logs.append(log)
            if len(self.requeues()) == before:
                return codes, logs
        raise AssertionError(f"still requeued after {most} runs: {logs[-1]}")

    def requeues(self) -> list[str]:
        return [call[0] for call in self.calls("scontrol") if call[0].startswith("requeue")]


def stub(cluster, text):
    """The environment that has `text` of bash run in place of geo-nemo; $1 is the subcommand."""
    path = cluster.command(cluster.folder / "stub", f"#!/bin/bash\n{text}\n")
    return {"GEO_NEMO_COMMAND": str(path), "GEO_NEMO_CHECKS": ""}


def option(arguments: list[str], name: str, default: str = "") -> str:
    found = [a.partition("=")[2] for a in arguments if a.startswith(f"--{name}=")]
    return found[-1] if found else default


def srun(arguments: list[str], folder: Path) -> int:
    if arguments == ["--help"]:
        print("" if (folder / "no_pyxis").exists() else "      --container-image=[USER@]...")
        return 0
    place = next(i for i, argument in enumerate(arguments) if not argument.startswith("--"))
    options, command = arguments[:place], arguments[place:]
    if (folder / "srun_fails").exists():
        print("srun: error: Unable to create step", file=sys.stderr)
        return 1
    nodes = os.environ["SLURM_JOB_NODELIST"].split(",")
    tasks = int(option(options, "ntasks", os.environ["SLURM_NTASKS"]))
    step = len((folder / "calls.jsonl").read_text().splitlines())
    each = tasks // len(nodes)
    quiet = folder / "silent"  # nodes that start nothing
    silent = quiet.read_text().split() if quiet.exists() else []
    running: list[subprocess.Popen] = []
    for number in range(tasks):
        node = nodes[number // each]
        environment = {
            **os.environ,
            "PATH": f"{folder / 'node' / node}:{os.environ['PATH']}",
            "SLURM_STEP_ID": str(step),
            "SLURM_STEP_NUM_TASKS": str(tasks),
            "SLURM_STEP_TASKS_PER_NODE": f"{each}(x{len(nodes)})",
            "SLURM_STEP_NODELIST": ",".join(nodes),
            "SLURM_PROCID": str(number),
            "SLURM_LOCALID": str(number % each),
            "SLURM_NODEID": str(number // each),
            "SLURMD_NODENAME": node,
            "MASTER_ADDR": "127.0.0.1",  # the nodes' names are known to no name server
        }
        if node not in silent:
            running.append(subprocess.Popen(command, env=environment, start_new_session=True))

    def tell(number: int) -> None:
        for task in running:
            if task.poll() is None:
                os.killpg(task.pid, number)

    signal.signal(signal.SIGUSR1, lambda *_: tell(signal.SIGUSR1))
    signal.signal(signal.SIGTERM, lambda *_: tell(signal.SIGKILL))
    worst = 0
    while any(task.poll() is None for task in running):
        ended = [task.returncode for task in running if task.poll() is not None]
        if "--kill-on-bad-exit=1" in options and any(ended):
            tell(signal.SIGKILL)
        time.sleep(0.02)
    for task in running:
        worst = max(worst, task.returncode if task.returncode >= 0 else 128 - task.returncode)
    return worst


def scontrol(arguments: list[str], folder: Path) -> int:
    denied = folder / "denied"
    for line in denied.read_text().splitlines() if denied.exists() else ():
        if all(any(word in a for a in arguments) for word in line.split()):
            print("slurm_update error: Invalid user id", file=sys.stderr)
            return 1
    if arguments[:2] == ["show", "hostnames"]:
        print("\n".join(arguments[2].split(",")))
    elif arguments[:2] == ["show", "job"]:
        print(f"JobId={arguments[2]} JobName=geo-nemo\n   ReqNodeList=(null) ExcNodeList=(null)")
    elif arguments[-2:] == ["show", "partition"] and (folder / "partitions").exists():
        hides = "--all" not in arguments
        for line in (folder / "partitions").read_text().splitlines():
            if not (hides and "Hidden=YES" in line.split()):
                print(line)
    return 0


def sinfo(arguments: list[str], folder: Path) -> int:
    """The nodes of `sinfo`, "NODE STATE" a line; without the file nothing is told."""
    print((folder / "sinfo").read_text() if (folder / "sinfo").exists() else "", end="")
    return 0


def sacctmgr(arguments: list[str], folder: Path) -> int:
    """Accounts or QOS of the files named so, a line each; without one there is no database."""
    kept = folder / ("accounts" if "associations" in arguments else "qos")
    if not kept.exists():
        return 1
    print(kept.read_text(), end="")
    return 0


def squeue(arguments: list[str], folder: Path) -> int:
    form, job = option(arguments, "format"), option(arguments, "jobs")
    queue = folder / "queue"  # "JOB STATE" a line; a job that is not here runs
    states = dict(line.split() for line in queue.read_text().splitlines()) if queue.exists() else {}
    if form == "%e":
        print((folder / "end").read_text() if (folder / "end").exists() else "N/A")
    elif states.get(job, "RUNNING") != "gone":
        print(states.get(job, "RUNNING"))
    return 0


def sbatch(arguments: list[str], folder: Path) -> int:
    refused = folder / "refuse"  # the name of a job; empty: all of them
    if refused.exists() and option(arguments, "job-name").endswith(refused.read_text()):
        print("sbatch: error: Batch job submission failed: Invalid account", file=sys.stderr)
        return 1
    count = sum(1 for line in (folder / "calls.jsonl").read_text().splitlines() if "sbatch" in line)
    print(1000 + count)
    return 0


def main() -> int:
    name, arguments = sys.argv[1], sys.argv[2:]
    folder = Path(os.environ["FAKE_CLUSTER"])
    with (folder / "calls.jsonl").open("a") as file:
        file.write(json.dumps([name, *arguments]) + "\n")
    known = (srun, scontrol, squeue, sbatch, sinfo, sacctmgr)
    called = {each.__name__: each for each in known}.get(name, lambda *_: 0)
    return called(arguments, folder)


if __name__ == "__main__":
    sys.exit(main())
