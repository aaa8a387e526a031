"""What an instruction added to a root, and whether a secret is among it."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Names that no layer has. A .pem may be a list of public certificates: its content decides.
NAMES = re.compile(
    r"(^|/)(\.git|\.env|\.netrc|\.pypirc|\.ssh|id_(rsa|ed25519|ecdsa)|auth\.json|pip\.conf"
    r"|\.docker|\.aws|credentials(\.json)?)$"
)
PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
KEY_FILES = (".pem", ".key", ".crt", ".p12", ".pfx")


@dataclass(frozen=True)
class Layer:
    """What one instruction of `stage` at `line` took and made; `added` are paths in the root."""

    stage: str
    line: int
    word: str
    seconds: float
    added: tuple[str, ...]
    size: int  # bytes
    findings: tuple[str, ...] = field(default=())


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every path below `root` and its own state, links not followed."""
    open_folders = [str(root)]
    while open_folders:
        with os.scandir(open_folders.pop()) as entries:
            for entry in entries:
                yield os.path.relpath(entry.path, root), entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    open_folders.append(entry.path)


def snapshot(root: Path) -> dict[str, tuple[int, int, int]]:
    """Of every path: inode, change time in ns, bytes (0 for a folder)."""
    return {
        path: (state.st_ino, state.st_ctime_ns, 0 if os.path.isdir(root / path) else state.st_size)
        for path, state in walk(root)
    }


def changed(before: dict, after: dict) -> tuple[list[str], int]:
    """The paths that are new or other than before, and their bytes."""
    paths = sorted(path for path, state in after.items() if before.get(path) != state)
    return paths, sum(after[path][2] for path in paths)


def findings(root: Path, paths: Iterable[str], secrets: Iterable[bytes]) -> list[str]:
    """What of `paths` has the name of a secret, is a private key, or holds one of `secrets`."""
    found, wanted = [], tuple(secrets)
    for path in paths:
        if NAMES.search(path):
            found.append(f"{path}: by its name")
        full = root / path
        if full.is_symlink() or not full.is_file():
            continue
        content = full.read_bytes()
        if path.endswith(KEY_FILES) and PRIVATE.search(content):
            found.append(f"{path}: a private key")
        found += [f"{path}: holds what was kept outside" for one in wanted if one in content]
    return found
