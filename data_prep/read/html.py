"""Main text of web pages, extracted in a process beside this one that a bad page may take down."""

import atexit
import contextlib
import os
import struct
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from data_prep.beside import check_start, command, environment

_SCRIPT = Path(__file__).with_name("html_worker.py")
# An ordinary page takes a few milliseconds.
CPU_SECONDS = 20
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body><p>Rain.</p></body></html>"


class Extractor:
    """Starts its process when it is first asked, and again after a page took it down."""

    def __init__(
        self, most_bytes: int, cpu_seconds: float = CPU_SECONDS, metas: tuple[str, ...] = ()
    ):
        self._arguments = [str(most_bytes), str(cpu_seconds), *metas]
        self._process: subprocess.Popen | None = None
        self._owner = 0
        self._answered = False

    def extract(self, response: bytes) -> dict[str, Any]:
        """`text`, `title`, `date` of an HTTP response with HTML; or `error`, why there are none.

        With names of meta tags to look for, `meta`, their values by name, and `meta_names`, the
        names of all that the page has.
        """
        for _ in range(2):
            # Someone else may have ended the process: only the page that does it twice is bad.
            try:
                return self._ask(response)
            except (OSError, EOFError):
                self.close()
        if not self._answered:
            given = struct.pack("<I", len(_PLAIN)) + _PLAIN
            check_start("web pages", _SCRIPT, *self._arguments, given=given)
            self._answered = True
        return {"error": "the page takes the extractor too much time or memory"}

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            process.stdout.close()
            # What it did not read any more cannot be written.
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _ask(self, response: bytes) -> dict[str, Any]:
        process = self._running()
        process.stdin.write(struct.pack("<I", len(response)))
        process.stdin.write(response)
        process.stdin.flush()
        answer = orjson.loads(_exactly(process, struct.unpack("<I", _exactly(process, 4))[0]))
        self._answered = True
        return answer

    def _running(self) -> subprocess.Popen:
        if self._process is None or self._owner != os.getpid():
            self._process = subprocess.Popen(
                command(_SCRIPT, *self._arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=environment(),
            )  # fmt: skip
            self._owner = os.getpid()
        return self._process


@cache
def extractor(most_bytes: int, metas: tuple[str, ...] = ()) -> Extractor:
    """The extractor of this process for pages of at most so many bytes.

    metas: names of meta tags that it also looks for, in small letters.
    """
    made = Extractor(most_bytes, metas=metas)
    atexit.register(made.close)
    return made


def _exactly(process: subprocess.Popen, size: int) -> bytes:
    data = process.stdout.read(size)
    if len(data) < size:
        raise EOFError
    return data
