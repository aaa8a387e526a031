"""Commands that a command starts, to which it hands stop signals on: they save and end."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from geo_nemo.cli.codes import STOPPED


class Children:
    """The processes that were started. asked: the first signal that came."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._processes: list[subprocess.Popen] = []

    def start(self, command: Sequence[str], **how: Any) -> subprocess.Popen:
        """how: of subprocess.Popen."""
        process = subprocess.Popen(command, **how)
        self._processes.append(process)
        if self.asked is not None:  # it came while the process was made
            process.send_signal(self.asked)
        return process

    def code(self, process: subprocess.Popen) -> int:
        """The exit code of one that has ended; 128 and the number after a signal."""
        code = process.returncode
        if self.asked is not None and code == -self.asked:
            return STOPPED  # before it could listen, with nothing to save
        return code if code >= 0 else 128 - code

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of a signal."""
        self.asked = self.asked or signal.Signals(number)
        for process in self._processes:
            process.send_signal(number)


@contextmanager
def handed_on(*signals: signal.Signals) -> Iterator[Children]:
    """Hand these signals on to what is started; none ends this process."""
    children = Children()
    before = {number: signal.signal(number, children.handle) for number in signals}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
