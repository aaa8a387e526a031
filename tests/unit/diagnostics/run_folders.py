"""Folders as runs leave them, written by hand: what a look from outside has to make sense of."""

import json
import os
import socket
import time
from pathlib import Path

from geo_nemo.runtime.launcher import pid_namespace
from geo_nemo.train.checkpoint.files import RECORD, file_record, write_record
from tests.support.tiny import tiny_run

STEPS = 6


class Folder:
    """A run of six steps, of which the first three are `condition`; begun at `began`."""

    def __init__(self, path: Path, began: float | None = None):
        self.path = path
        self.began = time.time() - 60 if began is None else began
        path.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: str, when: float | None = None) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if when is not None:
            os.utime(path, (when, when))
        return path

    def record(self, sessions: int = 1, **changes) -> "Folder":
        run = tiny_run(Path("store"), self.path, **changes)
        config = run.model_dump(mode="json")
        content = {"name": run.name, "config": config, "sessions": [{}] * sessions}
        self.write("run.json", json.dumps(content))
        return self

    def beat(self, at: int, age: float = 0.0, **changes) -> "Folder":
        """age: seconds. The process is this one, unless `changes` say otherwise."""
        beat = {
            "time": time.time() - age,
            "step": at,
            "steps": STEPS,
            "stage": "condition",
            "loss": 4.5,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "pid_namespace": pid_namespace(),
        }
        self.write("heartbeat.json", json.dumps({**beat, **changes}))
        return self

    def metrics(self, *steps: int, when: float | None = None) -> "Folder":
        lines = [
            json.dumps(
                {"step": step, "stage": "condition", "loss": 5 - step / 10, "seconds": 2.0,
                 "tokens_per_second": 1000.0 + step}
            )
            for step in steps
        ]  # fmt: skip
        self.write("metrics.jsonl", "".join(line + "\n" for line in lines), when)
        return self

    def checkpoint(self, step: int, age: float = 30.0) -> Path:
        """A whole one of one small file."""
        folder = self.path / "checkpoints" / f"step_{step:08d}"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"w" * 100)
        files = {"weights": file_record(folder / "weights")}
        write_record(folder, {"step": step, "score": None}, files)
        when = time.time() - age
        os.utime(folder / RECORD, (when, when))
        return folder

    def end(self, event: str, why: str = "", age: float = 0.0, step: int | None = None) -> "Folder":
        content = {"event": event, "why": why, "time": time.time() - age, "step": step}
        self.write("end.json", json.dumps(content))
        return self

    def start(self, job: int, number: int, verdict: str = "", age: float = 0.0) -> Path:
        """A start of a SLURM job."""
        folder = self.path / "slurm" / str(job) / str(number)
        folder.mkdir(parents=True)
        if verdict:
            when = time.time() - age
            self.write(f"slurm/{job}/{number}/verdict", verdict + "\n", when)
        return folder
