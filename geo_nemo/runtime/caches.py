"""Folders in which compilers keep what they made: somewhere that this user may write. No torch.

Triton's and Inductor's default are in the home and in /tmp, by the user's name. In a container the
home may be missing or read-only, the user may have no name, and /tmp may be the node's, where
another user has made the folder that the image names.
"""

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

# Name of the folder below the home or the temporary folder, by the variable that decides it.
FOLDERS = {"TRITON_CACHE_DIR": "triton", "TORCHINDUCTOR_CACHE_DIR": "inductor"}


def keep_caches_writable(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set each variable that is not set, or leads where this user may not write."""
    base = Path(tempfile.gettempdir()) / f"geo-nemo-{os.getuid()}"
    for variable, name in FOLDERS.items():
        given = environment.get(variable)
        home = environment.get("HOME")
        chosen = Path(given) if given else Path(home or "/") / ".cache" / "geo-nemo" / name
        if not _is_mine(chosen):
            chosen = base / name
            _is_mine(chosen)
        environment[variable] = str(chosen)


def _is_mine(folder: Path) -> bool:
    """Whether this user may write there; it is made where it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
