"""A folder of a bucket: its names, small objects whole, large ones as streams; errors in one line.

An object appears when it is complete or not at all, except that a stream which fails is closed by
the client with what it had: whoever reads compares sizes and hashes.
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from geo_nemo.common.addresses import SCHEME, check_address
from geo_nemo.common.errors import UserError
from geo_nemo.storage.client import connect, hint, is_lasting

T = TypeVar("T")
# Between tries, besides those that the client makes of itself at each request.
WAITS_S = (1.0, 2.0, 4.0, 8.0)


class RemoteError(UserError):
    """The object storage refused or failed. lasting: another try would fail alike."""

    def __init__(self, message: str, lasting: bool):
        super().__init__(message)
        self.lasting = lasting


class Stopped(Exception):
    """The work was given up on request."""


class RemoteFolder:
    """What lies under an address, by names relative to it. All of it raises `RemoteError`."""

    def __init__(self, address: str):
        self.address = check_address("address", address)
        self._bare = self.address.removeprefix(SCHEME)
        self.bucket = self._bare.partition("/")[0]

    def sub(self, name: str) -> "RemoteFolder":
        return RemoteFolder(f"{self.address}/{name}")

    def sizes(self) -> dict[str, int]:
        """Size of every object below, by name; empty where there is none."""
        from pyarrow.fs import FileSelector, FileType

        selector = FileSelector(self._bare, recursive=True, allow_not_found=True)
        infos = self._guarded("read", "", lambda system: system.get_file_info(selector))
        start = len(self._bare) + 1
        return {info.path[start:]: info.size for info in infos if info.type == FileType.File}

    def read(self, name: str) -> bytes | None:
        """A small object; None where there is none of this name."""

        def whole(system) -> bytes | None:
            try:
                # By default pyarrow would decompress what is called .gz.
                with system.open_input_stream(f"{self._bare}/{name}", compression=None) as stream:
                    return stream.read()
            except FileNotFoundError:
                self._check_bucket(system)
                return None

        return self._guarded("read", name, whole)

    def write(self, name: str, content: bytes) -> None:
        """A small object, in place of one of this name."""
        with self.writing(name) as write:
            write(content)

    def delete(self, name: str) -> None:
        """Remove an object, where it is there; the client leaves an empty one for the folder."""

        def gone(system) -> None:
            try:
                system.delete_file(f"{self._bare}/{name}")
            except FileNotFoundError:
                return

        self._guarded("remove", name, gone)

    def delete_all(self) -> None:
        """Remove every object below."""

        def gone(system) -> None:
            try:
                system.delete_dir(self._bare)
            except FileNotFoundError:
                return

        self._guarded("remove", "", gone)

    @contextmanager
    def reading(self, name: str) -> Iterator[tuple[int, Callable[[int, int], bytes]]]:
        """Size of an object, and a function (count, offset) that reads a range, in any thread."""
        stream = self._guarded(
            "read", name, lambda system: system.open_input_file(f"{self._bare}/{name}")
        )
        with stream:
            yield (
                self._guarded("read", name, lambda system: stream.size()),
                lambda count, at: self._guarded(
                    "read", name, lambda system: stream.read_at(count, at)
                ),
            )

    @contextmanager
    def writing(self, name: str) -> Iterator[Callable[[bytes], Any]]:
        """A function that takes an object's pieces in order; it is there when the block ends."""
        stream = self._guarded(
            "write", name, lambda system: system.open_output_stream(f"{self._bare}/{name}", None)
        )
        try:
            yield lambda piece: self._guarded("write", name, lambda system: stream.write(piece))
        except BaseException:
            with suppress(OSError, ValueError):
                stream.close()
            raise
        self._guarded("write", name, lambda system: stream.close())

    def _check_bucket(self, system) -> None:
        """Raise `RemoteError` where the bucket is not there; one that may not be asked for may."""
        from pyarrow.fs import FileType

        with suppress(OSError):
            if system.get_file_info(self.bucket).type == FileType.NotFound:
                raise RemoteError(f"cannot read {self.address}: no such bucket", lasting=True)

    def _guarded(self, verb: str, name: str, action: Callable[[Any], T]) -> T:
        where = f"{self.address}/{name}" if name else self.address
        try:
            return action(connect(self.bucket))
        except (OSError, ValueError) as error:
            message = f"cannot {verb} {where}: {hint(error)}"
            raise RemoteError(message, is_lasting(error)) from None


def retried(action: Callable[[], T], stop: threading.Event | None = None) -> T:
    """What `action` gives, tried again after growing waits while it fails for a passing reason.

    Raises the last `RemoteError`, or `Stopped` when `stop` is set.
    """
    stop = stop or threading.Event()
    for wait_s in (*WAITS_S, None):
        if stop.is_set():
            raise Stopped
        try:
            return action()
        except RemoteError as error:
            if error.lasting or wait_s is None:
                raise
            # Not all at once: many processes see the same failure at the same time.
            stop.wait(wait_s * random.uniform(0.5, 1.0))
    raise AssertionError("unreachable")
