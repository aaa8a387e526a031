"""This process's place in its job, as the launcher's environment tells it; needs no torch."""

import os


def world_size() -> int:
    """Number of processes of this job."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Rank of this process."""
    return int(os.environ.get("RANK", "0"))
