"""What the cluster itself says, before anything is submitted: partitions, accounts, the queue.

Asked by scontrol, sacctmgr and squeue. What one of them does not tell is left to sbatch: not every
cluster keeps accounts, and a user may be shown less than all.
"""

import getpass
from collections.abc import Sequence
from dataclasses import dataclass

from geo_nemo.common.slurm import ask_slurm
from geo_nemo.config import UserError
from geo_nemo.config.launch import walltime_minutes

ASK_S = 30.0


@dataclass(frozen=True, slots=True)
class Ask:
    """What one job asks for. key: the settings' common start, as slurm or slurm.prep."""

    key: str
    partition: str | None
    account: str | None
    qos: str | None
    time: str
    nodes: int


def ask(*words: str) -> str | None:
    """What a command of SLURM's prints; None where it is absent or fails."""
    done = ask_slurm(words, ASK_S)
    return done.stdout if done is not None and done.returncode == 0 else None


def is_queued(job: str) -> str:
    """The state of a job that waits or runs; empty where it is in the queue no more."""
    return (ask("squeue", "--noheader", f"--jobs={job}", "--format=%T") or "").strip()


def check_cluster(asks: Sequence[Ask]) -> None:
    """Raise `UserError` for what SLURM would refuse, or let wait for ever."""
    partitions = _partitions()
    # What a job does not name itself is the training's: its settings are the ones to tell.
    for wanted in sorted(asks, key=lambda each: each.key != "slurm"):
        if partitions:
            _check_partition(wanted, partitions)
        if wanted.account is not None:
            _check_account(wanted)
        if wanted.qos is not None:
            _check_qos(wanted)


def _partitions() -> dict[str, dict[str, str]]:
    """Records of `scontrol show partition` by name; empty where there is none to ask."""
    # All: a partition may be hidden from lists, and take jobs of whoever names it.
    told = ask("scontrol", "--all", "--oneliner", "show", "partition") or ""
    records = [
        dict(word.split("=", 1) for word in line.split() if "=" in word)
        for line in told.splitlines()
    ]
    return {record["PartitionName"]: record for record in records if "PartitionName" in record}


def _check_partition(wanted: Ask, partitions: dict[str, dict[str, str]]) -> None:
    names = wanted.partition.split(",") if wanted.partition else []
    names = names or [name for name, record in partitions.items() if record.get("Default") == "YES"]
    listed = ", ".join(partitions)
    if not names:
        raise UserError(
            f"{wanted.key}.partition is not given, and this cluster has no default partition: "
            f"there is {listed}"
        )
    for name in names:
        if name not in partitions:
            raise UserError(f"{wanted.key}.partition={name}: no such partition; there is {listed}")
    # Of several, SLURM takes the one that starts the job first: one that fits is enough.
    problems = [_problem(wanted, name, partitions[name]) for name in names]
    if all(problems):
        raise UserError(problems[0])


def _problem(wanted: Ask, name: str, record: dict[str, str]) -> str:
    """Why this partition would not start the job; empty where it may."""
    state, most = record.get("State", "UP"), record.get("MaxTime", "UNLIMITED")
    if state != "UP":
        return f"partition {name} is {state}, not UP: give another {wanted.key}.partition, or wait"
    if most not in ("UNLIMITED", "NONE") and walltime_minutes(wanted.time) > walltime_minutes(most):
        again = ": a run goes on over many jobs" if wanted.key == "slurm" else ""
        return (
            f"{wanted.key}.time={wanted.time} is above the limit of partition {name}, {most}: give "
            f"{wanted.key}.time={most}{again}, or another {wanted.key}.partition"
        )
    for key, what in (("MaxNodes", "allows a job"), ("TotalNodes", "has")):
        limit = record.get(key, "")
        if limit.isdigit() and wanted.nodes > int(limit):
            return (
                f"slurm.nodes={wanted.nodes}, but partition {name} {what} {limit}: give fewer, or "
                f"another {wanted.key}.partition"
            )
    for setting, value, allowed, denied in (
        ("account", wanted.account, "AllowAccounts", "DenyAccounts"),
        ("qos", wanted.qos, "AllowQos", "DenyQos"),
    ):
        allow = record.get(allowed, "ALL")
        if value and allow != "ALL" and not _is_listed(value, allow):
            return (
                f"{wanted.key}.{setting}={value}: partition {name} takes {allow} alone; give one "
                "of these, or another partition"
            )
        if value and _is_listed(value, record.get(denied, "")):
            return (
                f"{wanted.key}.{setting}={value}: partition {name} does not take it; give another"
            )
    return ""


def _is_listed(name: str, names: str) -> bool:
    """SLURM has all names in small letters."""
    return name.lower() in names.lower().split(",")


def _check_account(wanted: Ask) -> None:
    """Against the user's own associations, where the cluster keeps accounts."""
    user = getpass.getuser()
    told = ask(
        "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}",
        "format=account",
    )  # fmt: skip
    if told is None:
        return
    accounts = sorted(set(told.split()))
    # SLURM has all names in small letters.
    if wanted.account.lower() not in accounts:
        there = f"yours are {', '.join(accounts)}" if accounts else f"{user} has none here"
        raise UserError(f"{wanted.key}.account={wanted.account}: no such account of yours; {there}")


def _check_qos(wanted: Ask) -> None:
    told = ask("sacctmgr", "--noheader", "--parsable2", "show", "qos", "format=name")
    if told is None:
        return
    names = sorted(set(told.split()))
    if wanted.qos.lower() not in names:
        raise UserError(f"{wanted.key}.qos={wanted.qos}: no such QOS; there is {', '.join(names)}")
