"""One launch a run: who has submitted a job for an output folder.

`OUTPUT/slurm/launched` names the job, and those of its launch that wait for it, or the launch that
is about to submit it; `OUTPUT/slurm/job` the job that runs there, which the job itself writes.
"""

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from geo_nemo.common.files import make_folder, write_whole
from geo_nemo.common.lock import folder_lock, is_alive
from geo_nemo.config import UserError
from geo_nemo.launch.cluster import is_queued

LAUNCHING = "launching"
# A launch on another machine that has not come to its end by then was killed.
STALE_S = 600


@contextmanager
def claimed(outputs: Mapping[str, str], after: str | None = None) -> Iterator[None]:
    """Claim each folder for this launch, and let go of all where the block fails.

    outputs: of each folder, the setting that names it. after: a job that the launch waits for,
    which may have the folder until then.
    Raises `UserError` where a job is in the queue for one of them, or another launch is on its way.
    """
    taken: dict[Path, bytes | None] = {}  # what was there before
    try:
        for output, named in outputs.items():
            folder = Path(output) / "slurm"
            make_folder(folder)
            with folder_lock(folder):
                _check_free(folder, named, after)
                mark = f"{LAUNCHING} {socket.gethostname()} {os.getpid()}\n"
                before = _read(folder / "launched")
                write_whole(folder / "launched", mark.encode())
            # The job that is waited for keeps its claim.
            taken[folder] = f"{before}\n".encode() if _gives_way(before, after) else None
        yield
    except BaseException:
        for folder, kept in taken.items():
            with suppress(UserError, OSError):  # what failed first is what to tell
                if kept is None:
                    (folder / "launched").unlink(missing_ok=True)
                else:
                    write_whole(folder / "launched", kept)
        raise


def record_job(outputs: Sequence[str], job: str, behind: Sequence[str] = ()) -> None:
    """Write down the job that was submitted; of several outputs, each is a task of an array.

    behind: jobs of the same launch that wait for it.
    """
    for number, output in enumerate(outputs):
        task = f"{job}_{number}" if len(outputs) > 1 else job
        write_whole(Path(output) / "slurm/launched", f"{' '.join([task, *behind])}\n".encode())


def _gives_way(claim: str, after: str | None) -> bool:
    """Whether the job of a claim has ended when `after` has, which may be a whole array."""
    if after is None or claim.startswith(LAUNCHING):
        return False
    return any(after in (job, job.partition("_")[0]) for job in claim.split())


def _check_free(folder: Path, named: str, after: str | None) -> None:
    claim = _read(folder / "launched")
    if claim.startswith(LAUNCHING):
        if _is_underway(folder / "launched", claim):
            raise UserError(
                f"another geo-nemo launch is submitting {named.partition('=')[2]}: wait for it"
            )
        claim = ""
    if _gives_way(claim, after):
        return  # and the job that runs there for it
    for job in (claim.partition(" ")[0], _read(folder / "job")):
        if job and job != after and (state := is_queued(job)):
            raise UserError(
                f"job {job} is {state} for {named}: wait for it, scancel {job}, or "
                f"give another {named.partition('=')[0]}"
            )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_underway(path: Path, owner: str) -> bool:
    host, process = ([*owner.split()[1:], "", ""])[:2]
    if host != socket.gethostname():
        return time.time() - path.stat().st_mtime < STALE_S
    return process.isdigit() and is_alive(int(process))
