"""Goes through the stages: a log of each, JSON behind each, and the summary at the end.

No stage stops the next, for each failure is information; what is left of the time decides.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu_report.stages import ROOT, Stage, environment
from benchmarks.gpu_report.summary import Outcome, speeds, summary, told
from geo_nemo.common.files import write_whole


def run(stages: Iterable[Stage], site: Path, out: Path, seconds: float, dry: bool) -> list[Outcome]:
    """Every stage that there is time for; `report.json` and `report.md` are written after each.

    seconds: for all together. dry: the emulated forms.
    """
    out.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + seconds
    outcomes: list[Outcome] = []
    for number, stage in enumerate(stages, 1):
        left = until - time.monotonic()
        log = out / f"{number:02d}-{re.sub('[^a-z0-9]+', '-', stage.name.lower())}.log"
        outcomes.append(_one(stage, log, left, environment(site, ROOT, dry), dry))
        report = {"dry": dry, "date": datetime.now(UTC).date().isoformat(),
                  "stages": [asdict(each) for each in outcomes]}  # fmt: skip
        write_whole(out / "report.json", json.dumps(report, indent=1).encode())
        write_whole(out / "report.md", summary(outcomes, report["date"], dry, speeds(out)).encode())
    return outcomes


def _one(stage: Stage, log: Path, left: float, around: dict[str, str], dry: bool) -> Outcome:
    command = stage.emulated if dry else stage.command
    if command is None:
        return Outcome(stage.name, "left out", 0.0, stage.seconds, stage.left_out)
    if left < stage.needs:
        said = f"{max(left, 0):.0f} s were left"
        return Outcome(stage.name, "left out", 0.0, stage.seconds, said)
    started = time.monotonic()
    limit = left if dry else min(stage.seconds, left)
    status = "passed" if _ran(command, log, limit, around | stage.environment) else "failed"
    taken = time.monotonic() - started
    if status == "failed" and taken >= limit:
        status = "timed out"
    return Outcome(stage.name, status, round(taken, 1), stage.seconds, **told(log))


def _ran(command: tuple[str, ...], log: Path, limit: float, around: dict[str, str]) -> bool:
    """Whether it ended well within the limit; else it and its children are killed."""
    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                command, cwd=ROOT, env=around, stdout=file, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            file.write(f"{command[0]} did not start: {error}\n".encode())
            return False
        try:
            return process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
