"""Processes beside this one, which a bad file may take down: how they start, what they may take.

Imports nothing that is slow, for such a process does so before it begins.
"""

import os
import resource
import sys
from pathlib import Path

from geo_nemo.common.errors import RunError

MEMORY_BYTES = 4 << 30


def command(script: Path, *arguments: str) -> list[str]:
    """How a script is started. -P: its folder is not one to import from."""
    return [sys.executable, "-P", str(script), *arguments]


def environment() -> dict[str, str]:
    """In which it imports what this process does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def check_start(what: str, script: Path, *arguments: str, given: bytes = b"") -> None:
    """Raise RunError where a script fails over what is sound, so that no file is to blame.

    what: it reads, in words. given: on its stdin.
    """
    import subprocess

    done = subprocess.run(
        command(script, *arguments), input=given, capture_output=True, env=environment()
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        raise RunError(
            f"the process that reads {what} does not start: {said or done.returncode}: mend that, "
            "then run the same command again"
        )


def lower_limits() -> None:
    """Give this process at most `MEMORY_BYTES`, and no file of its memory where it crashes."""
    # A cluster may allow less, and nobody may raise that.
    allowed = resource.getrlimit(resource.RLIMIT_AS)[1]
    memory = MEMORY_BYTES if allowed == resource.RLIM_INFINITY else min(MEMORY_BYTES, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
