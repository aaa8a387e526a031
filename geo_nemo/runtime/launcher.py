"""This process's place in its job, as the launcher's environment tells it; needs no torch.

torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. A step of srun tells the
same in SLURM's words; `adopt_slurm_step` says it in torchrun's, before anything else is asked.
"""

import os
import re
from collections.abc import Mapping, MutableMapping

from geo_nemo.config import UserError

# Below what Linux gives to outgoing connections (32768), above what services use.
FIRST_PORT, PORTS = 10_000, 20_000


def world_size() -> int:
    """Number of processes of this job."""
    return _whole("WORLD_SIZE", 1)


def rank() -> int:
    """Rank of this process."""
    return _whole("RANK", 0)


def local_rank() -> int:
    """Number of this process among those of its node."""
    return _whole("LOCAL_RANK", 0)


def _whole(variable: str, default: int) -> int:
    """A number of the launcher's environment; UserError for what is none."""
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal():
        raise UserError(
            f"{variable}={text} is no number: start by torchrun or srun, or unset {variable}"
        )
    return int(text)


def in_a_job() -> bool:
    """Whether SLURM runs this process, which nobody may be looking at."""
    return "SLURM_JOB_ID" in os.environ


def pid_namespace() -> str | None:
    """What this process's number is a number in: containers of one machine count anew."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def adopt_slurm_step(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Set torchrun's variables from those of the srun step that this process is a task of.

    True where it was done. What a launcher or the user has set stays; a step of one task, and a
    shell inside a job (whose SLURM_NTASKS is the job's, not its own), are no launch. Raises
    UserError where SLURM names no host to meet at.
    """
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    if "RANK" in environment or "SLURM_PROCID" not in environment:
        return False
    if not tasks.isdigit() or int(tasks) < 2:
        return False
    settings = {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": tasks,
        "LOCAL_RANK": environment.get("SLURM_LOCALID", "0"),
        "LOCAL_WORLD_SIZE": _tasks_of_this_node(environment),
    }
    if "MASTER_ADDR" not in environment:
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
        settings["MASTER_ADDR"] = first_host(nodes)
    if "MASTER_PORT" not in environment:
        settings["MASTER_PORT"] = str(rendezvous_port(environment))
    environment.update(settings)
    return True


def first_host(nodes: str) -> str:
    """The first name of a SLURM host list: `gpu[007-009,12],cpu1` gives `gpu007`."""
    found = re.match(r"([^\[\],\s]+)(?:\[(\d+)[^\]]*\]([^\[\],\s]*))?", nodes)
    if found is None:
        raise UserError(
            f"SLURM's list of nodes {nodes!r} has no host to meet at: set MASTER_ADDR to the host "
            "of rank 0"
        )
    return "".join(part or "" for part in found.groups())


def rendezvous_port(environment: Mapping[str, str]) -> int:
    """A port that every task of a step computes alike, and other jobs and steps seldom."""
    numbers = [environment.get(name, "") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID")]
    job, step = (int(number) if number.isdigit() else 0 for number in numbers)
    return FIRST_PORT + (job * 17 + step) % PORTS


def _tasks_of_this_node(environment: Mapping[str, str]) -> str:
    """From `8(x3),4`, how many tasks each node has, in the order of nodes."""
    node = int(environment.get("SLURM_NODEID", "0"))
    counts: list[str] = []
    listed = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", listed):
        counts += [count] * int(times or 1)
    return counts[node] if node < len(counts) else "1"
