"""Many files to or from a bucket at once, each checked by size and hash as it passes.

Down: ranges of a file come in parallel, and are hashed and written in order; a file gets its name
when it is as it should be, so what has one is not fetched again.
Up: a file is hashed as it is read, and its last piece is held back until the hash is right.
"""

import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import make_folder, partial_of, sync_folder, writing
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.common.stuck import give_up
from geo_nemo.storage.folder import RemoteError, RemoteFolder, Stopped, retried

# A request costs some 50 ms whatever it asks for; a connection gives some 100 MB/s.
RANGE_BYTES = 8 << 20
RANGES, FILES = 16, 4
UPLOADS = 8  # files, each over a connection
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a transfer, by its name in both folders.

    digest: of its content, in hexadecimal digits. new_hash: begins one, as hashlib.sha256 does.
    """

    name: str
    size: int
    digest: str
    new_hash: Callable[[], Any]


class Damaged(UserError):
    """A file is not what it should be. name: which."""

    def __init__(self, message: str, name: str):
        super().__init__(message)
        self.name = name


def missing_bytes(folder: Path, items: Iterable[Item]) -> int:
    """Bytes that a download into `folder` has still to fetch."""
    return sum(item.size for item in items if not _is_there(folder, item))


def check_room(address: str, folder: Path, items: Iterable[Item], mend: str = "") -> None:
    """Raise `UserError` where the disk has no room for what is still to come into `folder`."""
    needed, free = missing_bytes(folder, items), shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{address} needs {needed / 1e9:.1f} GB more in {folder.parent}, where "
            f"{free / 1e9:.1f} GB are free" + (f": {mend}" if mend else "")
        )


def download(
    source: RemoteFolder,
    folder: Path,
    items: list[Item],
    progress: Progress = no_progress,
    name: str = "download",
    stop: threading.Event | None = None,
) -> None:
    """Fetch `items` into `folder`; those that are there with their size stay as they are.

    Raises `Damaged`, `RemoteError`, `UserError` for the disk, or `Stopped`.
    """
    with _pool(RANGES, "fetch") as ranges:

        def one(item: Item, told: Callable[[int], None], halt: threading.Event) -> None:
            _download(source, folder, item, ranges, told, halt)

        _all(items, one, FILES, progress, name, stop or threading.Event())
    with writing(folder):
        for parent in {(folder / item.name).parent for item in items}:
            sync_folder(parent)


def upload(
    folder: Path,
    target: RemoteFolder,
    items: list[Item],
    progress: Progress = no_progress,
    name: str = "upload",
    stop: threading.Event | None = None,
) -> None:
    """Copy `items` from `folder`, in place of objects of their names.

    Raises `Damaged` where a local file is not what it should be, `RemoteError`, or `Stopped`.
    """

    def one(item: Item, told: Callable[[int], None], halt: threading.Event) -> None:
        _upload(folder, target, item, told, halt)

    _all(items, one, UPLOADS, progress, name, stop or threading.Event())


def _all(
    items: list[Item],
    one: Callable[[Item, Callable[[int], None], threading.Event], None],
    at_once: int,
    progress: Progress,
    name: str,
    stop: threading.Event,
) -> None:
    """Do `one` for each item, `at_once` of them at a time; the first error, or `stop`, ends all."""
    done, total, lock = 0, sum(item.size for item in items), threading.Lock()
    halt = threading.Event()

    def told(count: int) -> None:
        nonlocal done
        with lock:
            done += count
        if halt.is_set():
            raise Stopped

    with _pool(at_once, "files") as pool:
        futures = [pool.submit(one, item, told, halt) for item in items]
        try:
            waiting: set[Future] = set(futures)
            while waiting:
                finished, waiting = wait(waiting, POLL_S, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                if stop.is_set():
                    raise Stopped
                progress(name, done, total, f"{len(futures) - len(waiting)}/{len(futures)} files")
        except BaseException:
            halt.set()
            give_up(lambda: not all(future.done() for future in futures))
            raise


@contextmanager
def _pool(size: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that have ended when the block has, unless the user interrupts it."""
    pool = ThreadPoolExecutor(size, name)
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=not isinstance(error, KeyboardInterrupt), cancel_futures=True)
        raise
    pool.shutdown()


def _download(
    source: RemoteFolder,
    folder: Path,
    item: Item,
    ranges: ThreadPoolExecutor,
    told: Callable[[int], None],
    halt: threading.Event,
) -> None:
    path = folder / item.name
    if _is_there(folder, item):
        told(item.size)
        return
    make_folder(path.parent)
    partial = partial_of(path)

    def whole() -> None:
        digest, count = item.new_hash(), 0
        try:
            with (
                source.reading(item.name) as (size, read),
                writing(path),
                partial.open("wb") as file,
            ):
                if size != item.size:
                    raise _damaged(source, item, f"has {size:,} bytes of {item.size:,}")
                with closing(_pieces(read, size, ranges)) as pieces:
                    for piece in pieces:
                        file.write(piece)
                        digest.update(piece)
                        count += len(piece)
                        told(len(piece))
                if digest.hexdigest() != item.digest:
                    raise _damaged(source, item, "has other content than was written")
                file.flush()
                os.fsync(file.fileno())
            with writing(path):
                os.replace(partial, path)
        except RemoteError:
            told(-count)
            raise

    try:
        retried(whole, halt)
    finally:
        partial.unlink(missing_ok=True)


def _pieces(
    read: Callable[[int, int], bytes], size: int, ranges: ThreadPoolExecutor
) -> Iterator[bytes]:
    """The content of an object in order, some ranges of it fetched ahead."""
    starts = iter(range(0, size, RANGE_BYTES))
    ahead: deque[Future] = deque()
    try:
        while True:
            while len(ahead) < RANGES // FILES and (at := next(starts, None)) is not None:
                ahead.append(ranges.submit(_read_all, read, min(RANGE_BYTES, size - at), at))
            if not ahead:
                return
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()
        wait(ahead)  # the stream is closed next, which must not meet a read


def _read_all(read: Callable[[int, int], bytes], count: int, at: int) -> bytes:
    piece = read(count, at)
    if len(piece) != count:
        raise RemoteError(f"an answer of {len(piece)} bytes to a request of {count}", lasting=False)
    return piece


def _upload(
    folder: Path,
    target: RemoteFolder,
    item: Item,
    told: Callable[[int], None],
    halt: threading.Event,
) -> None:
    path = folder / item.name

    def whole() -> None:
        digest, count = item.new_hash(), 0
        try:
            with path.open("rb") as file, target.writing(item.name) as write:
                held = b""
                while piece := file.read(RANGE_BYTES):
                    write(held)
                    told(len(held))
                    count += len(held)
                    digest.update(piece)
                    held = piece
                if count + len(held) != item.size or digest.hexdigest() != item.digest:
                    raise Damaged(f"{path} was changed since it was written", item.name)
                write(held)
        except RemoteError:
            told(-count)
            raise
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None
        told(len(held))

    retried(whole, halt)


def _is_there(folder: Path, item: Item) -> bool:
    try:
        return (folder / item.name).stat().st_size == item.size
    except OSError:
        return False


def _damaged(source: RemoteFolder, item: Item, problem: str) -> Damaged:
    return Damaged(f"{source.address}/{item.name} {problem}", item.name)
