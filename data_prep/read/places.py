"""Where files are listed: this machine's folders, as one kind of place beside `s3://`."""

import fnmatch
import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from data_prep.read.record import shown
from geo_nemo.common.errors import UserError

FILE, FOLDER = "a file", "a folder"


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands under a path. kind: `a file`, `a folder`, or what else it is.

    size, version: as in InputFile. identity: equal for two paths to the same file.
    """

    path: str
    kind: str
    size: int = 0
    version: str = ""
    identity: str = ""

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2]


class Place(Protocol):
    """A tree of files. All of it raises UserError where it cannot be read."""

    def entry(self, path: str) -> Entry | None:
        """What stands at `path`; None where nothing does."""

    def entries(self, folder: str) -> list[Entry]:
        """What stands directly in `folder`, in the order of names."""

    def matches(self, pattern: str) -> list[Entry]:
        """What matches `pattern`: `*`, `?` and `[...]` in a name, `**` across folders."""

    def content(self, path: str, limit: int) -> bytes:
        """The first `limit` bytes of a small file."""


class LocalFolders:
    """This machine's files."""

    def entry(self, path: str) -> Entry | None:
        try:
            return _entry(path, os.stat(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise _failed(path, error) from None

    def entries(self, folder: str) -> list[Entry]:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise _failed(folder, error) from None
        paths = [os.path.join(folder, name) for name in names]
        return [self.entry(path) or Entry(path, "a link to nothing") for path in paths]

    def matches(self, pattern: str) -> list[Entry]:
        # Not glob's own: it passes over a folder that cannot be read, and what is in it.
        paths = sorted(set(_matches("", pattern)))
        return [self.entry(path) or Entry(path, "a link to nothing") for path in paths]

    def content(self, path: str, limit: int) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read(limit)
        except OSError as error:
            raise _failed(path, error) from None


def _matches(folder: str, pattern: str) -> Iterator[str]:
    """Paths below `folder` that match, as glob has them: names with a dot in front only where the
    pattern has it. UserError for a folder that cannot be listed."""
    name, slash, rest = pattern.partition("/")
    rest = rest.lstrip("/")
    if not glob.has_magic(name):
        yield from _below(f"{folder}{name}", slash, rest)
    elif name != "**":
        for entry in _listed(folder):
            hidden = entry.name.startswith(".") and not name.startswith(".")
            if not hidden and fnmatch.fnmatchcase(entry.name, name):
                yield from _below(f"{folder}{entry.name}", slash, rest)
    else:
        yield from _matches(folder, rest) if rest else filter(None, [folder])
        for entry in _listed(folder):
            if entry.name.startswith("."):
                continue
            if not slash:
                yield f"{folder}{entry.name}"
            if entry.is_dir():
                yield from _matches(f"{folder}{entry.name}/", pattern)


def _below(path: str, slash: str, rest: str) -> Iterator[str]:
    if not slash:
        if os.path.lexists(path):
            yield path
    elif os.path.isdir(path or "/"):
        yield from _matches(f"{path}{slash}", rest) if rest else [f"{path}{slash}"]


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder or ".") as entries:
            return list(entries)
    except FileNotFoundError:  # removed meanwhile
        return []
    except OSError as error:
        raise _failed(folder or ".", error) from None


def kind_of(mode: int) -> str:
    """FILE, FOLDER, or what else a mode of stat(2) says."""
    kinds = {
        stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "of an unknown kind")


def version_of(state: os.stat_result) -> str:
    return str(state.st_mtime_ns)


def _entry(path: str, state: os.stat_result) -> Entry:
    # Inode and device, so that a hard link counts as the same file too.
    identity = f"{state.st_dev}:{state.st_ino}"
    return Entry(path, kind_of(state.st_mode), state.st_size, version_of(state), identity)


def _failed(path: str, error: Exception) -> UserError:
    return UserError(f"cannot read {shown(path)}: {getattr(error, 'strerror', None) or error}")
