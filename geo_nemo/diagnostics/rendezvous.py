"""Checks of where the processes of a job meet: the name of rank 0's node, and its port there."""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress

from geo_nemo.common.findings import Finding
from geo_nemo.config import UserError
from geo_nemo.runtime.launcher import first_host, rendezvous_port

TOPIC = "rendezvous"
# Steps of a job that meet after that of doctor (slurm/train.sbatch): the all-reduce, the training.
STEPS_AHEAD = 2
# SLURM's numbers of steps that no srun started (batch, interactive, extern) are above it.
LAST_STEP = 1 << 31


def check_rendezvous(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """`MASTER_ADDR` and `MASTER_PORT`, or what a SLURM job of several processes meets at instead.

    Nothing where neither is set and there is no such job.
    """
    in_job = "SLURM_JOB_ID" in environment and _processes(environment) > 1
    host, port = environment.get("MASTER_ADDR", ""), environment.get("MASTER_PORT", "")
    if not (host or port or in_job):
        return
    if not host and not in_job:
        yield Finding(
            TOPIC,
            "note",
            f"MASTER_PORT={port} is set, and MASTER_ADDR is not: several processes cannot meet",
            "export MASTER_ADDR as well, or start them with torchrun, which sets both",
        )
        return
    named = f"MASTER_ADDR={host}" if host else "the first node of SLURM's list"
    if not host:
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
        try:
            host = first_host(nodes)
        except UserError as error:
            yield Finding(TOPIC, "problem", str(error), "export MASTER_ADDR in the job")
            return
        named = f"{host}, {named},"
    addresses = _addresses(host)
    if isinstance(addresses, OSError):
        yield Finding(
            TOPIC,
            "problem",
            f"{named} does not resolve here ({addresses.strerror or addresses})",
            "export MASTER_ADDR with a name or an address of rank 0's node that every node "
            "resolves: getent hosts NAME",
        )
        return
    if _is_each_node_s_own(host) and int(environment.get("SLURM_JOB_NUM_NODES") or 1) > 1:
        yield Finding(
            TOPIC,
            "note",
            f"{named} is another machine on each node, and this job has several nodes",
            "unset MASTER_ADDR: the first node of the job is taken",
        )
    shown = f"{named} resolves to {addresses[0][1]}"
    ports = [port] if port else _coming_ports(environment) if in_job else []
    if not ports:
        yield Finding(TOPIC, "ok", shown)
    elif not any(_is_of_this_machine(*address) for address in addresses):
        yield Finding(TOPIC, "ok", f"{shown}; whether its port is free is known there alone")
    elif (environment.get("LOCAL_RANK") or environment.get("SLURM_LOCALID") or "0") != "0":
        yield Finding(TOPIC, "ok", f"{shown}; the first process of the node looks at the port")
    elif port and environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        yield Finding(TOPIC, "ok", f"{shown}; torchrun itself holds its port {port}")
    else:
        problem = next(filter(None, map(_port_problem, ports)), "")
        if problem:
            yield Finding(TOPIC, "problem", f"{shown}, and {problem}", _mend(bool(port)))
        else:
            free = "port" if len(ports) == 1 else "ports"
            yield Finding(TOPIC, "ok", f"{shown}, its {free} {', '.join(ports)} free")


def _processes(environment: Mapping[str, str]) -> int:
    """Of the training; train.sbatch tells them to the step of doctor, which has fewer."""
    for name in ("GEO_NEMO_TASKS", "WORLD_SIZE", "SLURM_NTASKS"):
        if (text := environment.get(name, "")).isdigit():
            return int(text)
    return 1


def _coming_ports(environment: Mapping[str, str]) -> list[str]:
    """Where the next steps of this job will meet, unless they are told another port."""
    text = environment.get("SLURM_STEP_ID", "")
    step = int(text) if text.isdigit() and int(text) < LAST_STEP else -1
    steps = range(step + 1, step + 1 + STEPS_AHEAD)
    return [str(rendezvous_port({**environment, "SLURM_STEP_ID": str(n)})) for n in steps]


def _addresses(host: str) -> list[tuple[socket.AddressFamily, str]] | OSError:
    """Families and addresses of a name, or why there are none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError:  # an empty label, or one of more than 63 characters
        return OSError(errno.EINVAL, "it is no name of a host")
    return [(family, where[0]) for family, _, _, _, where in found]


def _is_each_node_s_own(host: str) -> bool:
    # Not by what a name resolves to: Debian lets a node's own name be 127.0.1.1 on that node.
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _is_of_this_machine(family: socket.AddressFamily, address: str) -> bool:
    with suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return True
    return False


def _port_problem(text: str) -> str:
    """Why rank 0 could not listen at a port of this machine; empty: it could."""
    if not text.isdigit() or not 0 < int(text) < 1 << 16:
        return f"MASTER_PORT={text} is no port"
    # At every address, as torch's store does.
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        socket.create_server(("", int(text)), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"another process has its port {text}"
        return f"its port {text} cannot be had ({error.strerror or error})"
    return ""


def _mend(given: bool) -> str:
    if given:
        return "export another MASTER_PORT, or end what has this one: ss -ltnp"
    return (
        "export MASTER_PORT with a free port in the job (slurm.env_file), or submit it again: the "
        "port follows from the job's number"
    )
