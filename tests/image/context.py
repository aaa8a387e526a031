"""What a build may copy: .dockerignore's patterns, and COPY.

Source: https://docs.docker.com/build/concepts/context/#dockerignore-files; matching by
github.com/moby/patternmatcher, from whose table of tests ours takes its cases.
"""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path


def ignoring(text: str) -> Callable[[str], bool]:
    """Whether a path, relative to the context, is left out. The last pattern that fits decides."""
    rules = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        keep = line.startswith("!")
        pattern = os.path.normpath(line[keep:].strip()).lstrip("/")
        rules.append((re.compile(_expression(pattern)), keep))

    def ignored(path: str) -> bool:
        parts = path.strip("/").split("/")
        within = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        out = False
        for expression, keep in rules:
            if any(expression.fullmatch(name) for name in within):
                out = not keep
        return out

    return ignored


def _expression(pattern: str) -> str:
    made, place = "", 0
    while place < len(pattern):
        rest = pattern[place:]
        if rest.startswith("**"):
            place += 2
            if pattern[place : place + 1] == "/":
                place += 1
                made += "(.*/)?"
            else:
                made += ".*"
        elif rest[0] == "[" and (group := re.match(r"\[\^?[^]]+\]", rest)):
            made += group[0]
            place += group.end()
        elif rest[0] == "\\" and len(rest) > 1:
            made += re.escape(rest[1])
            place += 2
        else:
            made += {"*": "[^/]*", "?": "[^/]"}.get(rest[0]) or re.escape(rest[0])
            place += 1
    return made


def gather(source: Path, into: Path, text: str) -> int:
    """Copies to `into` what .dockerignore's `text` leaves of `source`; counts the files."""
    ignored, count = ignoring(text), 0
    # Folders below which nothing is let in again are not walked: data and environments are large.
    kept = [line.strip()[1:] for line in text.splitlines() if line.strip().startswith("!")]
    again = {line.strip("/ ").split("/")[0] for line in kept}
    walk_all = any(set(name) & set("*?[\\") for name in again)
    for folder, folders, files in os.walk(source):
        here = os.path.relpath(folder, source)
        paths = {name: os.path.normpath(os.path.join(here, name)) for name in [*folders, *files]}
        folders[:] = [
            name
            for name in folders
            if walk_all or not ignored(paths[name]) or paths[name].split("/")[0] in again
        ]
        for name in files:
            if not ignored(paths[name]):
                to = into / paths[name]
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(folder) / name, to, follow_symlinks=False)
                count += 1
    return count


def copy(sources: Sequence[str], origin: Path, destination: str, root: Path) -> None:
    """COPY: `sources` below `origin` to the absolute `destination` in `root`, owned by root.

    Raises:
        ValueError: nothing fits a source, or a path leads out of its root.
    """
    found = []
    for source in sources:
        matches = sorted(glob.glob(f"{glob.escape(str(origin))}/{source.lstrip('/')}"))
        if not matches:
            raise ValueError(f"COPY {source}: not found")
        found += [Path(match) for match in matches]
    target = root / destination.lstrip("/")
    for path, inside in [*((one, origin) for one in found), (target, root)]:
        if not path.resolve().is_relative_to(inside.resolve()):
            raise ValueError(f"COPY {path}: leads out of {inside}")
    if len(found) > 1 and not destination.endswith("/"):
        raise ValueError(f"COPY to {destination}: of several sources needs a / at the end")
    for source in found:
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            words = [f"{source}/.", f"{target}/"]
        else:
            into = target / source.name if destination.endswith("/") or target.is_dir() else target
            into.parent.mkdir(parents=True, exist_ok=True)
            words = [str(source), str(into)]
        subprocess.run(["cp", "-a", "--no-preserve=ownership", "--", *words], check=True)
