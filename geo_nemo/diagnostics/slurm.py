"""What SLURM says of jobs, where its commands are there; one question for many jobs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from geo_nemo.common.slurm import ask_slurm

TIMEOUT_S = 15
_ID = re.compile(r"\d+")
# Words of squeue and sacct for a job that is over.
OVER = {
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL",
    "DEADLINE", "REVOKED", "PREEMPTED", "COMPLETING",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """state: SLURM's word, such as PENDING. reason: why it waits, or its exit code."""

    id: str
    state: str
    reason: str = ""

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED")

    @property
    def is_over(self) -> bool:
        return self.state in OVER


def ask_jobs(ids: Iterable[str]) -> dict[str, Job]:
    """Jobs by their ids: those in the queue, else what the accounting keeps of them.

    Empty where there is no SLURM, or it does not answer; what it does not know is left out.
    """
    wanted = sorted({each for each in ids if _ID.fullmatch(each)})
    if not wanted:
        return {}
    listed = ",".join(wanted)
    # %A is the id of each task of an array; %i would be 12_3.
    # Without all states it leaves out those that have just ended, whom accounting need not keep.
    queue = ["squeue", "--noheader", "--states=all", "--format=%A|%T|%r", f"--jobs={listed}"]
    found = _asked(queue)
    left = [each for each in wanted if each not in found]
    if left:
        columns = "--format=JobIDRaw,State,ExitCode"
        command = ["sacct", "-X", "--noheader", "--parsable2", columns, f"--jobs={','.join(left)}"]
        found |= _asked(command)
    return {each: found[each] for each in wanted if each in found}


def _asked(command: list[str]) -> dict[str, Job]:
    done, jobs = ask_slurm(command, TIMEOUT_S), {}
    if done is None:
        return {}
    # squeue fails where it knows none of them; what it printed counts all the same.
    for line in done.stdout.splitlines():
        job, state, reason = (*line.split("|"), "", "")[:3]
        if _ID.fullmatch(job) and state:
            # "CANCELLED by 1000"
            jobs[job] = Job(job, state.split()[0], "" if reason == "None" else reason)
    return jobs
