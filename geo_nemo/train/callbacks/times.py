"""Where the time between two lines went, and which rank the others waited for."""

import socket
import time

import torch
import torch.distributed as dist

from geo_nemo.train.callback import StepEvent
from geo_nemo.train.step import ReadLater


class Times:
    """Sums of the steps since the last line, of this rank; `exchanged` compares all ranks.

    A rank's own work on a step is its wait for data, forward and backward, up to the exchange of
    gradients, where ranks wait for each other (geo_nemo.train.step_clock).
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._hosts: list[str] = []
        self._late = ReadLater(self._add_work)
        self.restart()

    def restart(self) -> None:
        """Begin anew: a line was written, or the run starts or is wound back."""
        self._late.forget()
        self.steps = 0
        self.seconds = self._data = self._work = self._checkpoint = 0.0
        self._since = time.perf_counter()

    def find_hosts(self) -> None:
        """Ask each rank for its host, once; every rank calls it."""
        if not self._hosts:
            self._hosts = [""] * dist.get_world_size()
            dist.all_gather_object(self._hosts, socket.gethostname())

    def add(self, event: StepEvent) -> None:
        """Count a step."""
        self.steps += 1
        self.seconds += event.seconds
        self._data += event.data_seconds
        self._checkpoint += event.checkpoint_seconds
        self._late.add(event)

    def _add_work(self, event: StepEvent) -> None:
        self._work += event.data_seconds + event.report.work_seconds

    def exchanged(self) -> dict[str, float | int | str]:
        """Seconds a step by what they went to, and the slowest rank; every rank calls it.

        data_wait: of the rank that waited longest. work_mean, work_min, work_max: of the ranks' own
        work; work_spread: (max - min) / mean. slowest_rank, slowest_host: whose work took longest.
        checkpoint, other: seconds since the last line that training stood still for saves, and for
        all else outside of steps, such as validation; of rank 0.
        """
        self._late.flush()
        elapsed = time.perf_counter() - self._since
        mine = torch.zeros(dist.get_world_size(), 2, dtype=torch.float64, device=self.device)
        mine[dist.get_rank()] = torch.tensor([self._work, self._data]) / self.steps
        dist.all_reduce(mine)
        work, data = mine.cpu().unbind(1)
        slowest, mean = int(work.argmax()), float(work.mean())
        return {
            "data_wait": float(data.max()),
            "work_mean": mean,
            "work_min": float(work.min()),
            "work_max": float(work.max()),
            "work_spread": float(work.max() - work.min()) / mean if mean else 0.0,
            "slowest_rank": slowest,
            "slowest_host": self._hosts[slowest] if self._hosts else "",
            "checkpoint": self._checkpoint,
            "other": max(elapsed - self.seconds - self._checkpoint, 0.0),
        }
