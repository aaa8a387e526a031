"""Checks of the machine itself: cores, memory, an output folder and its disk, ports, networks."""

import fcntl
import mmap
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from geo_nemo.common.findings import Finding
from geo_nemo.diagnostics.fabric import check_fabric
from geo_nemo.diagnostics.rendezvous import check_rendezvous

GIB = 2**30
# The demo's two trainings side by side, and torch itself.
LOW_MEMORY = 3 * GIB
# A checkpoint of a 1B model with fp32 moments takes 16 GB; the demo's whole output a tenth of one.
LOW_DISK = 20 * GIB
NO_DISK = GIB
PROBE_BYTES = 64 << 20
SLOW_WRITE = 100e6  # bytes a second
MOST_SKEW_S = 2.0
TICK_S = 0.01


def check_machine(output: Path) -> Iterator[Finding]:
    """Everything that needs neither torch nor Megatron-Core."""
    yield check_threads(cores(), os.environ)
    yield check_memory(psutil.virtual_memory().available)
    yield from check_output(output)
    yield check_port()
    yield from check_rendezvous()
    yield from check_fabric()


def cores() -> int:
    """CPU cores that this process may use, a container's quota counted."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        return max(1, min(allowed, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return allowed


def check_threads(cores: int, environment: Mapping[str, str]) -> Finding:
    """`OMP_NUM_THREADS` against the cores."""
    text = environment.get("OMP_NUM_THREADS", "")
    if not text:
        return Finding(
            "threads",
            "ok" if cores <= 8 else "note",
            f"{cores} cores; OMP_NUM_THREADS is not set, so a process takes all of them",
            ""
            if cores <= 8
            else "export OMP_NUM_THREADS=(cores / processes) for several processes",
        )
    if not text.isdecimal() or int(text) == 0:
        return Finding(
            "threads",
            "problem",
            f"OMP_NUM_THREADS={text} is not a number of threads",
            f"export OMP_NUM_THREADS={cores}",
        )
    if int(text) > cores:
        return Finding(
            "threads",
            "note",
            f"OMP_NUM_THREADS={text} on {cores} cores: threads wait for each other",
            f"export OMP_NUM_THREADS={cores}",
        )
    return Finding("threads", "ok", f"{cores} cores, OMP_NUM_THREADS={text}")


def check_memory(available: int) -> Finding:
    """Bytes of memory that are free for this process."""
    text = f"{available / GIB:.1f} GiB available"
    if available < LOW_MEMORY:
        return Finding("memory", "note", text, "close other programs: the demo takes about 3 GiB")
    return Finding("memory", "ok", text)


def check_output(folder: Path) -> Iterator[Finding]:
    """Free space, and whether what writing relies on works where `folder` is or would be made.

    Nothing is left behind.
    """
    place = folder.resolve()
    while not place.exists() and place != place.parent:
        place = place.parent
    topic = f"output {folder}"
    if not place.is_dir():
        yield Finding(topic, "problem", f"{place} is not a folder", "give another --output")
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".geo-nemo-doctor-", dir=place) as scratch:
            failed = _failing_step(Path(scratch))
            rate, ahead = (0.0, 0.0) if failed else _rate_and_clock(Path(scratch))
    except OSError as error:
        yield Finding(
            topic,
            "problem",
            f"cannot write in {place}: {error.strerror}",
            "give another --output, or ask for the right to write there",
        )
        return
    if failed:
        yield Finding(
            topic,
            "problem",
            f"{failed} in {place}",
            "give a folder on a local disk, or mount the file system with locks (flock)",
        )
    else:
        yield Finding(topic, "ok", f"{place}: write, sync, rename, lock and memory map work")
        yield throughput_finding(rate)
        yield clock_finding(ahead)
    yield disk_finding(shutil.disk_usage(place).free)


def disk_finding(free: int) -> Finding:
    """Bytes that are free on the output's disk."""
    text = f"{free / GIB:.1f} GiB free"
    mend = "make room, or give another --output"
    if free < NO_DISK:
        return Finding("disk", "problem", text, mend)
    if free < LOW_DISK:
        return Finding("disk", "note", f"{text}: enough for the demo, not for a 1B model", mend)
    return Finding("disk", "ok", text)


def throughput_finding(rate: float) -> Finding:
    """Bytes a second that the output's disk takes, synced."""
    text = f"writes {rate / 1e6:,.0f} MB/s, synced, by one process"
    if rate < SLOW_WRITE:
        slow = f"{text}: a checkpoint of a 1B model (18 GB) takes {18e9 / rate / 60:.0f} minutes"
        return Finding("throughput", "note", slow, "give an --output on a faster file system")
    return Finding("throughput", "ok", text)


def clock_finding(ahead: float) -> Finding:
    """Seconds by which the clock of the output's file system is before this machine's."""
    if abs(ahead) > MOST_SKEW_S:
        return Finding(
            "clock",
            "problem",
            f"the file system of the output is {ahead:+.1f} s from this machine's clock",
            "have the clocks of nodes and file server set (chronyd, ntpd): heartbeats and time "
            "limits go by them",
        )
    return Finding("clock", "ok", f"within {MOST_SKEW_S:.0f} s of the output's file system")


def check_port() -> Finding:
    """Whether processes of this machine can reach each other on the loopback address."""
    try:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(1)
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
    except OSError as error:
        return Finding(
            "port",
            "problem",
            f"127.0.0.1 takes no connection ({error.strerror or error}), so several processes "
            "cannot meet",
            "bring the loopback interface up: ip link set lo up",
        )
    return Finding("port", "ok", f"127.0.0.1:{port} was free and took a connection")


def _rate_and_clock(scratch: Path) -> tuple[float, float]:
    """Bytes a second of a synced write, and seconds that the file system's clock is ahead."""
    path, block = scratch / "throughput", os.urandom(1 << 20)
    started = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(PROBE_BYTES // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    before = time.time()
    touched = scratch / "clock"
    touched.touch()
    written, after = touched.stat().st_mtime, time.time()
    # Times of files are as coarse as the kernel's tick.
    ahead = written - after if written > after else min(0.0, written - before + TICK_S)
    return PROBE_BYTES / seconds, ahead


def _failing_step(scratch: Path) -> str:
    """The first of the things that writing relies on that does not work here; empty: all do."""
    step = "writing fails"
    try:
        path = scratch / "probe"
        with path.open("w+b") as file:
            file.write(b"geo_nemo" * 512)
            file.flush()
            step = "fsync fails"
            os.fsync(file.fileno())
            step = "flock fails"
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            step = "a memory map fails"
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                if mapped[:8] != b"geo_nemo":
                    return "a memory map reads something else than was written"
        step = "renaming fails"
        os.replace(path, scratch / "renamed")
    except OSError as error:
        return f"{step} ({error.strerror or error})"
    return ""
