"""How SLURM's commands are asked: alike, whatever the user's shell has set for them."""

import os
import subprocess
from collections.abc import Sequence

# Of a shell: what squeue, sacct and scancel leave out, and in which words they answer. slurm/lib.sh
# has its own, for the commands of a job.
_OF_SHELLS = ("SQUEUE_", "SACCT_", "SCANCEL_", "LC_")


def slurm_environment() -> dict[str, str]:
    """The environment of a command of SLURM's, which sees jobs of hidden partitions, too."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(_OF_SHELLS)}
    return {**own, "LC_ALL": "C", "SQUEUE_ALL": "1"}


def ask_slurm(words: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str] | None:
    """What a command answered; None where it is absent or gives no answer in time."""
    try:
        return subprocess.run(
            words,
            env=slurm_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
