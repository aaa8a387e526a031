"""Measures the all-reduce of a job's processes: inside each node, then over all of them.

A node whose links are slow, or a network that is, shows here in seconds, and in a training as a
step that takes longer for no reason to be seen. Bandwidths are NCCL's bus bandwidth, bytes * 2
(n - 1) / n a second: it does not depend on the number n of processes where links are used alike.
"""

import os
import time
from dataclasses import dataclass

import torch
import torch.distributed as dist

from geo_nemo.runtime.launcher import rank, world_size

WARM_UP = 2
# Values that ranks add. fp32 holds whole numbers up to 2^24: the sum stays below it for 500,000
# ranks, whereas the sum of the ranks' own numbers is rounded from 5,793 on.
DIFFERENT = 61


@dataclass(frozen=True, slots=True)
class Measured:
    """GB/s of bus bandwidth. nodes: by name, within each node; of one process there is none.

    whole: over all processes; None where there is one.
    """

    nodes: dict[str, float]
    whole: float | None

    def slow(self, least: float) -> list[str]:
        """Names of the nodes that are below `least` GB/s within themselves."""
        return sorted(name for name, speed in self.nodes.items() if speed < least)


def measure(device: torch.device, megabytes: int, rounds: int) -> Measured:
    """Run on every rank of joined processes; the same on each.

    Raises RuntimeError where a sum comes out wrong.
    """
    name = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
    names: list[str] = [""] * world_size()
    dist.all_gather_object(names, name)
    speeds: dict[str, float] = {}
    for node in sorted(set(names)):
        members = [place for place, other in enumerate(names) if other == node]
        # Every rank takes part in the making of each group.
        group = dist.new_group(members)
        if name == node and len(members) > 1:
            speeds[node] = _bandwidth(device, megabytes, rounds, group, len(members))
    everyones: list[dict[str, float]] = [{}] * world_size()
    dist.all_gather_object(everyones, speeds)
    nodes: dict[str, float] = {}
    for one in everyones:
        for node, speed in one.items():
            nodes[node] = min(speed, nodes.get(node, speed))
    whole = None
    if world_size() > 1:
        whole = _bandwidth(device, megabytes, rounds, dist.group.WORLD, world_size())
        slowest = torch.tensor([whole], dtype=torch.float64, device=device)
        dist.all_reduce(slowest, op=dist.ReduceOp.MIN)
        whole = float(slowest)
    return Measured(nodes, whole)


def value_of(place: int) -> int:
    """What a rank adds to each sum; neighbours add other values, so that a lost one shows."""
    return place % DIFFERENT + 1


def sum_of(size: int) -> int:
    """What the values of so many ranks come to."""
    whole, rest = divmod(size, DIFFERENT)
    return whole * DIFFERENT * (DIFFERENT + 1) // 2 + rest * (rest + 1) // 2


def _bandwidth(device: torch.device, megabytes: int, rounds: int, group, size: int) -> float:
    """GB/s of bus bandwidth of `group`, whose sums are checked."""
    values = torch.empty(megabytes * 2**20 // 4, dtype=torch.float32, device=device)
    mine = value_of(dist.get_rank(group))
    begin = 0.0
    for turn in range(WARM_UP + rounds):
        if turn == WARM_UP:
            _wait(device)
            begin = time.perf_counter()
        if turn in (0, WARM_UP + rounds - 1):
            values.fill_(mine)
        dist.all_reduce(values, group=group)
    _wait(device)
    seconds = (time.perf_counter() - begin) / rounds
    expected = sum_of(size)
    if not bool((values == expected).all()):
        wrong = int((values != expected).sum())
        raise RuntimeError(
            f"rank {rank()}: {wrong:,} of {values.numel():,} sums of an all-reduce are wrong"
        )
    return values.numel() * 4 * 2 * (size - 1) / size / seconds / 1e9


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
