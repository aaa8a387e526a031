"""Records of ORC files, as a stream of Arrow's that a process beside this one makes of them."""

import contextlib
import struct
import subprocess
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import BinaryIO

import orjson
import pyarrow as pa

from data_prep.beside import check_start, command, environment
from data_prep.config import Limits
from data_prep.quarantine import FILE_REASONS
from data_prep.read.arrow import read_arrow
from data_prep.read.columns import Columns, one_line
from data_prep.read.fields import Fields
from data_prep.read.record import Bad, DamagedError, Raw
from data_prep.read.storage import READ_BYTES, ByteSource
from data_prep.read.unpack import Unpacked

_SCRIPT = Path(__file__).with_name("orc_worker.py")
_LENGTH = struct.Struct(">I")


def read_orc(
    source: ByteSource, fields: Fields, limits: Limits, count: list[int]
) -> Iterator[Raw | Bad]:
    """The rows of a file, up to its end or to the stripe that is damaged.

    count[0]: bytes of the columns that were read.
    """
    descriptor = source.seekable().fileno()
    process = subprocess.Popen(
        command(_SCRIPT, str(descriptor)), pass_fds=(descriptor,), env=environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    last: Raw | Bad = Bad(0, "empty_file", "")
    try:
        stream = Unpacked(_Piped(source, process.stdout), limits)
        size = stream.read(_LENGTH.size)
        schema = stream.read(_LENGTH.unpack(size)[0]) if len(size) == _LENGTH.size else b""
        if not schema:
            raise DamagedError("damaged_file", _said(process))
        try:
            known = pa.ipc.read_schema(pa.py_buffer(schema))
            found = Columns(known, fields, limits, source.size).found
            names = sorted({known.names[column.index] for column in found})
        except (pa.ArrowException, ValueError) as error:
            raise DamagedError("damaged_file", one_line(error)) from None
        with contextlib.suppress(OSError):  # it ended: what it wrote, and why, is read below
            process.stdin.write(orjson.dumps(names, option=orjson.OPT_APPEND_NEWLINE))
            process.stdin.flush()
        for item in read_arrow(stream, fields, limits, source):
            last = item
            if not _is(item, {"empty_file"}):
                yield item
        count[0] = stream.text_bytes
        if _is(last, FILE_REASONS - {"empty_file"}):
            return
        if not stream.peek(1) and process.wait():
            yield Bad(last.number + 1, "damaged_file", _said(process))
        elif _is(last, {"empty_file"}):
            yield last
    finally:
        process.kill()
        process.communicate()


def _is(item: Raw | Bad, reasons: Set[str]) -> bool:
    return isinstance(item, Bad) and item.reason in reasons


def _said(process: subprocess.Popen) -> str:
    """What a process that ended says of why. RunError where it does not start at all."""
    if process.wait() > 0:  # below it, a signal ended it
        _check_start(_SCRIPT)
    said = process.stderr.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    return said or f"pyarrow's reader of ORC ended with {process.returncode}"


@cache
def _check_start(script: Path) -> None:
    check_start("ORC files", script)


class _Piped(ByteSource):
    """What a process writes, of a file that is watched elsewhere."""

    def __init__(self, file: ByteSource, pipe: BinaryIO):
        super().__init__(file.name, file.size)
        self._pipe = pipe

    def seekable(self) -> BinaryIO:
        return self._pipe

    def close(self) -> None:
        self._pipe.close()

    def _read(self) -> bytes:
        return self._pipe.read1(READ_BYTES)

    def _changed(self) -> bool:
        return False
