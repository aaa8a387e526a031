"""Main text of web pages, extracted in a process beside this one that a bad page may take down."""

import atexit
import contextlib
import os
import struct
import subprocess
import sys
from pathlib import Path

import orjson

_SCRIPT = Path(__file__).with_name("html_worker.py")
# An ordinary page takes a few milliseconds.
CPU_SECONDS = 20


class Extractor:
    """Starts its process when it is first asked, and again after a page took it down."""

    def __init__(self, most_bytes: int, cpu_seconds: float = CPU_SECONDS):
        self._arguments = [str(most_bytes), str(cpu_seconds)]
        self._process: subprocess.Popen | None = None
        self._owner = 0

    def extract(self, response: bytes) -> dict[str, str]:
        """`text`, `title`, `date` of an HTTP response with HTML; or `error`, why there are none."""
        for _ in range(2):
            # Someone else may have ended the process: only the page that does it twice is bad.
            try:
                return self._ask(response)
            except (OSError, EOFError):
                self.close()
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

    def _ask(self, response: bytes) -> dict[str, str]:
        process = self._running()
        process.stdin.write(struct.pack("<I", len(response)))
        process.stdin.write(response)
        process.stdin.flush()
        return orjson.loads(_exactly(process, struct.unpack("<I", _exactly(process, 4))[0]))

    def _running(self) -> subprocess.Popen:
        if self._process is None or self._owner != os.getpid():
            # -P: the folder of the script is not one to import from.
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_SCRIPT), *self._arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=environment,
            )  # fmt: skip
            self._owner = os.getpid()
        return self._process


_extractors: dict[int, Extractor] = {}


def extractor(most_bytes: int) -> Extractor:
    """The extractor of this process for pages of at most so many bytes."""
    if most_bytes not in _extractors:
        _extractors[most_bytes] = Extractor(most_bytes)
        atexit.register(_extractors[most_bytes].close)
    return _extractors[most_bytes]


def _exactly(process: subprocess.Popen, size: int) -> bytes:
    data = process.stdout.read(size)
    if len(data) < size:
        raise EOFError
    return data
