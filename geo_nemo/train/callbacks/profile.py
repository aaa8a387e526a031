"""A window of steps under torch's profiler."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from geo_nemo.common.files import make_folder, write_whole, writing
from geo_nemo.config.logging import Profile as Settings
from geo_nemo.train.callback import ReadsNothing, StepEvent
from geo_nemo.train.engine import Engine
from geo_nemo.train.ranges import Ranges

TOP_OPERATORS = 40


class Profile(ReadsNothing):
    """Writes a Chrome trace and a table of the operators that took most time, a file each a rank.

    `rank_00000_step_00000010.json.gz` opens in Perfetto or chrome://tracing; the table has the same
    name and ends in `.txt`. Other callbacks of the steps are in the trace where this is the last.
    A window that a stop or an error cuts short is written as far as it went.
    """

    def __init__(self, folder: Path, settings: Settings, engine: Engine):
        self.folder = folder
        self.first = settings.start_step
        self.last = settings.start_step + settings.steps
        self.engine = engine
        self.is_mine = dist.get_rank() in settings.ranks
        self._profiler: profile | None = None
        self._begun = 0

    def on_start(self, step: int) -> None:
        self._go_to(step)

    def on_step(self, event: StepEvent) -> None:
        self._go_to(event.step + 1)

    def on_end(self) -> None:
        self._finish()

    def _go_to(self, step: int) -> None:
        """`step` comes next."""
        inside = self.is_mine and self.first <= step < self.last
        if self._profiler is not None and not inside:
            self._finish()
        elif self._profiler is None and inside:
            self._begin(step)

    def _begin(self, step: int) -> None:
        activities = [ProfilerActivity.CPU]
        if self.engine.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self._begun = step
        # It would tell of its phases on the error output, through the progress bar.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        self._profiler = profile(activities=activities)
        self._profiler.start()
        self.engine.name_ranges(Ranges())

    def _finish(self) -> None:
        if self._profiler is None:
            return
        profiler, self._profiler = self._profiler, None
        self.engine.name_ranges(None)
        on_gpu = self.engine.device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize(self.engine.device)
        profiler.stop()
        make_folder(self.folder)
        name = f"rank_{dist.get_rank():05d}_step_{self._begun:08d}"
        trace = self.folder / f"{name}.json.gz"
        with writing(trace):
            # Not ending in .gz it would not be compressed.
            partial = trace.with_name(f"{name}.partial.json.gz")
            profiler.export_chrome_trace(str(partial))
            os.replace(partial, trace)
        averages = profiler.key_averages()
        by = "self_device_time_total" if on_gpu else "self_cpu_time_total"
        table = averages.table(sort_by=by, row_limit=TOP_OPERATORS)
        write_whole(self.folder / f"{name}.txt", f"{table}\n".encode())
