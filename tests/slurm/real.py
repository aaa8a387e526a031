"""A real SLURM on this machine: munged, slurmctld, slurmdbd with MariaDB, and a slurmd a node.

Needs root and Debian's packages, which `missing` names. Jobs are root's or an ordinary user's, whom
the test makes and removes. Everything is in a folder of its own below /srv, which goes at the end:
what several nodes share may not be in /tmp.
"""

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.ports import free_ports

PROGRAMS = (
    "slurmctld", "slurmd", "slurmdbd", "sbatch", "srun", "scontrol", "squeue", "sacctmgr", "munged",
    "mariadbd", "mariadb-install-db", "setpriv", "useradd",
)  # fmt: skip
PACKAGES = "slurmctld slurmd slurmdbd slurm-client munge mariadb-server"
NODES = ("n1", "n2")
USER = "geo-nemo-test"
ROOT = Path(__file__).parents[2]
# Where the first Debian Python of the tests' version is, for a user who may not enter root's home.
SYSTEM_PYTHON = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")


def missing() -> str:
    """Why no SLURM can be started here; empty where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install {PACKAGES}"
    return "" if os.geteuid() == 0 else "not root"


class Slurm:
    """Two nodes of two processors each, as root.

    Partition `low` gives way to `high`; `short` ends after ten minutes. `user` calls the same
    commands as an ordinary user, whose account is `ours`, in a folder that is the user's.
    """

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="geo-nemo-slurm-", dir="/srv"))
        self.folder.chmod(0o755)
        self.started: list[subprocess.Popen] = []
        for name in ("state", "spool", "sql"):
            (self.folder / name).mkdir()
        self.munge = self.folder / "munge.socket"
        self.control, self.database, self.sql, *nodes = free_ports(3 + len(NODES))
        self.conf = self.folder / "slurm.conf"
        self.conf.write_text("\n".join(self._conf(nodes)) + "\n")
        (self.folder / "slurmdbd.conf").write_text("\n".join(self._database_conf()) + "\n")
        (self.folder / "slurmdbd.conf").chmod(0o600)
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        self.user = User(self)

    def _conf(self, ports: list[int]) -> list[str]:
        host = socket.gethostname().split(".")[0]
        folder = self.folder
        return [
            "ClusterName=test",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={self.control}",
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
            # Accounts are known and not enforced: sbatch takes a job of one that is not there.
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={self.database}",
            f"AccountingStoragePass={self.munge}",
            "JobCompType=jobcomp/none",
            *(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 "
                "RealMemory=1800 State=UNKNOWN"
                for node, port in zip(NODES, ports, strict=True)
            ),
            "PartitionName=low Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 GraceTime=60",
            "PartitionName=high Nodes=ALL MaxTime=60 PriorityTier=10",
            "PartitionName=short Nodes=ALL MaxTime=30 MaxNodes=1 PriorityTier=1 GraceTime=60",
        ]

    def _database_conf(self) -> list[str]:
        return [
            f"AuthInfo=socket={self.munge}",
            "AuthType=auth/munge",
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={self.database}",
            "SlurmUser=root",
            f"LogFile={self.folder}/slurmdbd.log",
            f"PidFile={self.folder}/slurmdbd.pid",
            "StorageType=accounting_storage/mysql",
            "StorageHost=127.0.0.1",
            f"StoragePort={self.sql}",
            "StorageUser=root",
            "StorageLoc=slurm",
        ]

    def __enter__(self) -> "Slurm":
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_all(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        # Before Linux gives the user munge a folder of its own, root runs it here.
        self._start(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.munge}",
            f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )  # fmt: skip
        self.wait(lambda: self.munge.exists(), "munged did not start")
        data = self.folder / "sql"
        prepared = subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert prepared.returncode == 0, prepared.stderr
        self._start(
            "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={data}/socket",
            f"--port={self.sql}", "--bind-address=127.0.0.1", "--skip-grant-tables", "--user=root",
            f"--pid-file={data}/pid", "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        self.wait(lambda: _is_open(self.sql), "MariaDB did not start")
        self._start("slurmdbd", "-D")
        self.wait(lambda: _is_open(self.database), "slurmdbd did not start")
        self.user.make()
        self("sacctmgr", "-i", "add", "cluster", "test", check=False)
        self("sacctmgr", "-i", "add", "account", "ours", check=False)
        self("sacctmgr", "-i", "add", "user", f"root,{USER}", "account=ours", check=False)
        self._start("slurmctld", "-D", "-c")
        for node in NODES:
            self._start("slurmd", "-D", "-N", node)
        self.wait(
            lambda: self("sinfo", "-h", "-N", "-o", "%T", check=False).split().count("idle") >= 2,
            "the nodes are not idle",
        )

    def __exit__(self, *_: object) -> None:
        for user in ("root", USER):
            self("scancel", f"--user={user}", check=False)
        for process in reversed(self.started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.user.remove()
        if os.environ.get("GEO_NEMO_KEEP_SLURM") is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("a") as log:
            self.started.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            )

    @staticmethod
    def wait(true: Callable[[], object], otherwise: str, seconds: float = 300) -> None:
        """Until it is true; AssertionError with `otherwise` after so many seconds."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(otherwise)
            time.sleep(0.1)

    def __call__(self, *command: str, check: bool = True, **environment: str) -> str:
        """What a command of SLURM's prints."""
        return self._run(list(command), {**self.environment, **environment}, check)

    @staticmethod
    def _run(command: list[str], environment: dict[str, str], check: bool) -> str:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, cwd="/"
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
        self.wait(lambda: true(self.job(number)), f"job {number}: not {what}", seconds)
        return self.job(number)

    def wait_for_end(self, number: str, seconds: float = 900) -> dict[str, str]:
        """The job's record once it has ended, however that was."""
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        return self.wait_for(number, lambda job: job["JobState"] in over, "ended", seconds)


class User:
    """An ordinary user of this cluster: calls commands as that user, in a home of its own."""

    def __init__(self, slurm: Slurm):
        self.slurm = slurm
        self.home = slurm.folder / "home"
        self.bin = slurm.folder / "bin"

    def make(self) -> None:
        """Make the user, and `python` and `geo-nemo` that it may run."""
        self.remove()
        subprocess.run(
            ["useradd", "--create-home", f"--home-dir={self.home}", "--shell=/bin/bash", USER],
            check=True, capture_output=True,
        )  # fmt: skip
        self.home.chmod(0o755)
        self.bin.mkdir()
        for name, words in (("python", []), ("geo-nemo", ["-m", "geo_nemo"])):
            self.script(name, f'exec {shlex.join([str(SYSTEM_PYTHON), *words])} "$@"')

    def script(self, name: str, text: str) -> Path:
        """An executable on the user's PATH, with the project and its packages at hand."""
        packages = f"{ROOT}:{sysconfig.get_paths()['purelib']}"
        path = self.bin / name
        path.write_text(f"#!/bin/bash\nexport PYTHONPATH={shlex.quote(packages)}\n{text}\n")
        path.chmod(0o755)
        return path

    @staticmethod
    def remove() -> None:
        """Remove the user where it is there; its home goes with the folder."""
        try:
            pwd.getpwnam(USER)
        except KeyError:
            return
        subprocess.run(["userdel", USER], capture_output=True)

    def folder(self, name: str) -> Path:
        """A new folder of the user's."""
        place = self.home / name
        place.mkdir(parents=True)
        shutil.chown(place, USER, USER)
        return place

    def environment(self, **changes: str) -> dict[str, str]:
        """The user's own: nothing of root's comes along."""
        return {
            "PATH": f"{self.bin}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.home),
            "USER": USER,
            "LOGNAME": USER,
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "SLURM_CONF": str(self.slurm.conf),
            **changes,
        }

    def start(self, *command: str, **environment: str) -> subprocess.CompletedProcess:
        """Run a command as the user: its exit code, what it printed, and to stderr."""
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--"]
        return subprocess.run(
            [*become, *command],
            env=self.environment(**environment),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def __call__(self, *command: str, **environment: str) -> str:
        """What a command prints that must end well."""
        done = self.start(*command, **environment)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
