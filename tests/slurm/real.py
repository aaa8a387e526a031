"""A real SLURM on this machine: munged, slurmctld and a slurmd a node, started and ended by a test.

Needs root and Debian's slurmctld, slurmd, slurm-client and munge. Nothing outside its folder is
written, but for a key that munge lacks.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "munged")
NODES = ("n1", "n2")
CONTROL_PORT, NODE_PORT = 26817, 26820


def missing() -> str:
    """Why no SLURM can be started here; empty where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge"
    return "" if os.geteuid() == 0 else "not root"


class Slurm:
    """Two nodes of two processors each; partition `low` gives way to `high`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.started: list[subprocess.Popen] = []
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self.munge = folder / "munge.socket"
        ports = {node: NODE_PORT + place for place, node in enumerate(NODES)}
        lines = [
            "ClusterName=test",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={CONTROL_PORT}",
            "SlurmUser=root",
            "SlurmdUser=root",
            "AuthType=auth/munge",
            f"AuthInfo=socket={self.munge}",
            "CredType=cred/munge",
            f"StateSaveLocation={folder}/state",
            f"SlurmdSpoolDir={folder}/spool/%n",
            f"SlurmctldPidFile={folder}/slurmctld.pid",
            f"SlurmdPidFile={folder}/slurmd-%n.pid",
            f"SlurmctldLogFile={folder}/slurmctld.log",
            f"SlurmdLogFile={folder}/slurmd-%n.log",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "MpiDefault=none",
            "SchedulerType=sched/backfill",
            "SchedulerParameters=sched_interval=2,requeue_delay=1,batch_sched_delay=0",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core",
            "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE",
            "ReturnToService=2",
            "KillWait=20",
            "MinJobAge=600",
            "SlurmdTimeout=300",
            "AccountingStorageType=accounting_storage/none",
            "JobCompType=jobcomp/none",
            *(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 "
                "RealMemory=1000 State=UNKNOWN"
                for node, port in ports.items()
            ),
            "PartitionName=low Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 GraceTime=60",
            "PartitionName=high Nodes=ALL MaxTime=60 PriorityTier=10",
        ]
        self.conf = folder / "slurm.conf"
        self.conf.write_text("\n".join(lines) + "\n")
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf)}

    def __enter__(self) -> "Slurm":
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        # Before Linux gives the user munge a folder of its own, root runs it here.
        self._start(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.munge}",
            f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )  # fmt: skip
        self._wait(lambda: self.munge.exists(), "munged did not start")
        self._start("slurmctld", "-D", "-c")
        for node in NODES:
            self._start("slurmd", "-D", "-N", node)
        self._wait(
            lambda: self("sinfo", "-h", "-N", "-o", "%T", check=False).split().count("idle") >= 2,
            "the nodes are not idle",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self("scancel", "--user=root", check=False)
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("a") as log:
            self.started.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            )

    @staticmethod
    def _wait(true, otherwise: str, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(otherwise)
            time.sleep(0.1)

    def __call__(self, *command: str, check: bool = True, **environment: str) -> str:
        """What a command of SLURM's prints."""
        done = subprocess.run(
            command,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stderr}")
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What scontrol tells of a job."""
        text = self("scontrol", "--oneliner", "show", "job", number)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def wait_for(self, number: str, true, what: str, seconds: float = 900) -> dict[str, str]:
        """The job's record once `true` of it."""
        self._wait(lambda: true(self.job(number)), f"job {number}: not {what}", seconds)
        return self.job(number)
