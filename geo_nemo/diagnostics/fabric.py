"""The network between nodes, as far as this node shows it: devices, their variables, limits.

NCCL says nothing when it falls back from InfiniBand to sockets, which are tens of times slower.
What it would take is read from sysfs, which a container shows whole; what it may use are the device
files, which a container shows where it is told to.
"""

import fnmatch
import os
import re
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from geo_nemo.common.findings import Finding

ROOT = Path("/")
CAP_IPC_LOCK = 14
# Interfaces that NCCL leaves out by itself, and those of containers and virtual machines.
_NO_NETWORK = ("lo", "docker*", "veth*", "virbr*", "br-*", "cni*", "flannel*", "cali*", "ifb*")
_INFINIBAND_TYPE = "32"


@dataclass(frozen=True, slots=True)
class Port:
    """An active port of an RDMA device. rate: gigabits a second. link: InfiniBand or Ethernet."""

    device: str
    number: int
    link: str
    rate: float
    driver: str


def check_fabric(
    root: Path = ROOT,
    environment: Mapping[str, str] = os.environ,
    locked_limit: Callable[[], int | None] | None = None,
) -> Iterator[Finding]:
    """Findings about RDMA devices, networks and their variables.

    root: of the file system that has `sys`, `dev` and `proc`. locked_limit: bytes of memory that
    may be locked, None for no limit; this process's by default.
    """
    ports, idle = rdma_ports(root)
    networks = up_networks(root)
    efa = [port for port in ports if port.driver == "efa"]
    own = [port for port in ports if port.driver != "efa"]
    yield _devices(ports, idle)
    if own:
        yield from _device_files(root)
        yield from _hca(own, environment)
        yield from _peer_memory(root)
    elif environment.get("NCCL_IB_HCA"):
        yield _lost("NCCL_IB_HCA", environment["NCCL_IB_HCA"], "no active RDMA device")
    if ports:
        yield _locked_memory((locked_limit or locked_memory_limit)())
    yield from _libfabric(root, efa, environment)
    yield from _interfaces(networks, _usable_networks(root), environment)


def rdma_ports(root: Path = ROOT) -> tuple[list[Port], list[str]]:
    """Active ports of all RDMA devices, and `device:port` of those that are not active."""
    active, idle = [], []
    for device in _listed(root / "sys/class/infiniband"):
        driver = device / "device/driver"
        name = os.path.basename(os.readlink(driver)) if driver.is_symlink() else ""
        for port in _listed(device / "ports"):
            if not port.name.isdigit():
                continue
            if "ACTIVE" not in _read(port / "state").upper():
                idle.append(f"{device.name}:{port.name}")
                continue
            found = re.match(r"[\d.]+", _read(port / "rate"))
            rate = float(found[0]) if found else 0.0
            link = _read(port / "link_layer") or "InfiniBand"
            active.append(Port(device.name, int(port.name), link, rate, name))
    return active, idle


def up_networks(root: Path = ROOT) -> list[str]:
    """Names of the interfaces that are up and lead to other machines."""
    names = []
    for interface in _listed(root / "sys/class/net"):
        hidden = any(fnmatch.fnmatch(interface.name, pattern) for pattern in _NO_NETWORK)
        # The members of a bond have its address on the bond alone.
        is_member = (interface / "master").exists()
        if not hidden and not is_member and _read(interface / "operstate") == "up":
            names.append(interface.name)
    return names


def _usable_networks(root: Path) -> list[str]:
    """Names that a variable may give: all but those that are down, the loopback among them."""
    interfaces = _listed(root / "sys/class/net")
    return [each.name for each in interfaces if _read(each / "operstate") in ("up", "unknown")]


def locked_memory_limit() -> int | None:
    """Bytes that this process may lock; None: no limit, or it may pass it (CAP_IPC_LOCK)."""
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        effective = int(re.findall(r"^CapEff:\s*([0-9a-f]+)", status, re.M)[0], 16)
        if effective >> CAP_IPC_LOCK & 1:
            return None
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if soft == resource.RLIM_INFINITY else soft


def _devices(ports: Sequence[Port], idle: Sequence[str]) -> Finding:
    if not ports:
        left = f"; not active: {', '.join(idle)}" if idle else ""
        text = f"no active InfiniBand, RoCE or EFA device{left}: several nodes would use sockets"
        mend = "have the links of these devices brought up: ibstat" if idle else ""
        return Finding("fabric", "note" if idle else "ok", text, mend)
    listed = ", ".join(f"{p.device}:{p.number} {_kind(p)} {p.rate:g} Gb/s" for p in ports)
    if idle:
        return Finding(
            "fabric",
            "note",
            f"{listed}; not active: {', '.join(idle)}",
            "have the links of these brought up (ibstat), or name the others: NCCL_IB_HCA",
        )
    return Finding("fabric", "ok", listed)


def _kind(port: Port) -> str:
    if port.driver == "efa":
        return "EFA"
    return "RoCE" if port.link == "Ethernet" else port.link


def _device_files(root: Path) -> Iterator[Finding]:
    """In a container without them NCCL finds no device, and says nothing."""
    if not any(path.name.startswith("uverbs") for path in _listed(root / "dev/infiniband")):
        yield Finding(
            "rdma devices",
            "note",
            "/dev/infiniband has no uverbs device though the kernel has RDMA devices: NCCL falls "
            "back to sockets without a word",
            "under pyxis or enroot: export MELLANOX_VISIBLE_DEVICES=all before srun; docker: "
            "--device /dev/infiniband",
        )


def _hca(ports: Sequence[Port], environment: Mapping[str, str]) -> Iterator[Finding]:
    value = environment.get("NCCL_IB_HCA", "")
    if environment.get("NCCL_IB_DISABLE", "0") == "1":
        yield Finding(
            "NCCL_IB_DISABLE",
            "note",
            "1, though there are RDMA devices: NCCL uses sockets",
            "unset NCCL_IB_DISABLE",
        )
    if value:
        chosen = [port for port in ports if is_named(value, port)]
        if not chosen:
            there = ", ".join(f"{port.device}:{port.number}" for port in ports)
            yield _lost("NCCL_IB_HCA", value, f"no active device; there is {there}")
            return
        text = f"{value}: {', '.join(f'{port.device}:{port.number}' for port in chosen)}"
        yield Finding("NCCL_IB_HCA", "ok", text)
        return
    fastest = max(port.rate for port in ports)
    best = [port for port in ports if port.rate == fastest]
    if len(best) < len(ports):
        slow = ", ".join(f"{p.device} {p.rate:g} Gb/s" for p in ports if p.rate < fastest)
        yield Finding(
            "NCCL_IB_HCA",
            "note",
            f"not set, and devices differ: NCCL may use the slower ones, too ({slow})",
            f"export NCCL_IB_HCA=={','.join(dict.fromkeys(port.device for port in best))}",
        )


def is_named(value: str, port: Port) -> bool:
    """Whether NCCL_IB_HCA names a port: `^` is all but those, `=` whole names, else beginnings."""
    negated, exact = value.startswith("^"), value.lstrip("^").startswith("=")
    found = False
    for entry in value.lstrip("^=").split(","):
        name, _, number = entry.partition(":")
        same = port.device == name if exact else bool(name) and port.device.startswith(name)
        found |= same and (not number or number == str(port.number))
    return found != negated


def _peer_memory(root: Path) -> Iterator[Finding]:
    """GPUs and network cards that pass data by way of the host's memory."""
    if not (root / "dev/nvidia0").exists():
        return
    if any((root / "sys/module" / name).is_dir() for name in ("nvidia_peermem", "nv_peer_mem")):
        return
    if "Open Kernel Module" in _read(root / "proc/driver/nvidia/version"):
        return  # by DMA-BUF
    yield Finding(
        "GPUDirect",
        "note",
        "nvidia_peermem is not loaded, and the driver is not the open one: network cards may not "
        "reach the GPUs' memory",
        "modprobe nvidia_peermem on the nodes; NCCL_DEBUG=INFO shows GDRDMA where it works",
    )


def _locked_memory(limit: int | None) -> Finding:
    if limit is None:
        return Finding("ulimit -l", "ok", "locked memory is not limited")
    return Finding(
        "ulimit -l",
        "note",
        f"locked memory is limited to {limit / 1024:,.0f} KiB: RDMA fails to register its buffers",
        "LimitMEMLOCK=infinity for slurmd and PropagateResourceLimitsExcept=MEMLOCK in slurm.conf; "
        "docker: --ulimit memlock=-1",
    )


def _libfabric(
    root: Path, efa: Sequence[Port], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """EFA and Slingshot, which NCCL reaches by a plugin over libfabric."""
    provider = environment.get("FI_PROVIDER", "")
    wanted = "efa" if efa else "cxi" if _listed(root / "sys/class/cxi") else ""
    if provider in ("efa", "cxi") and provider != wanted:
        yield _lost("FI_PROVIDER", provider, "no device of this machine")
    elif wanted and provider != wanted:
        text = f"{provider or 'not set'}, and the devices here are {wanted}'s"
        mend = f"export FI_PROVIDER={wanted}, and install NCCL's plugin aws-ofi-nccl"
        yield Finding("FI_PROVIDER", "note", text, mend)
    elif wanted:
        yield Finding("FI_PROVIDER", "ok", wanted)


def _interfaces(
    networks: Sequence[str], usable: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """NCCL's and gloo's choice among the networks: how ranks meet, and all traffic of sockets."""
    named = "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"
    for variable in named:
        value = environment.get(variable, "")
        if not value:
            continue
        if not any(_is_interface(value, name, variable) for name in usable):
            there = ", ".join(usable) or "none"
            yield _lost(variable, value, f"no network that is up; there is {there}")
        else:
            yield Finding(variable, "ok", value)
    unset = [variable for variable in named if not environment.get(variable)]
    if len(networks) > 1 and unset:
        yield Finding(
            "networks",
            "note",
            f"several are up ({', '.join(networks)}) and {' and '.join(unset)} not set: ranks may "
            "choose one on which they do not reach each other",
            f"export {' '.join(f'{variable}={networks[0]}' for variable in unset)}, or another "
            "that all nodes share",
        )
    elif unset:
        yield Finding("networks", "ok", ", ".join(networks) or "none but the loopback")


def _is_interface(value: str, name: str, variable: str) -> bool:
    if variable.startswith("GLOO"):
        return name in value.split(",")
    negated, exact = value.startswith("^"), value.lstrip("^").startswith("=")
    entries = value.lstrip("^=").split(",")
    found = name in entries if exact else any(e and name.startswith(e) for e in entries)
    return found != negated


def _lost(variable: str, value: str, what: str) -> Finding:
    mend = f"unset {variable}, or name what is there"
    return Finding(variable, "problem", f"{value} names {what}", mend)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
