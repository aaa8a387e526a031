"""Processes of tests that have imported the trainer when they begin, which else takes 5 s."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.imported"])


class Process:
    """`python -m MODULE ARGUMENTS` in a process of its own, with an interface as Popen's.

    It is forked off one that has imported what a training on a CPU does, and is killed, stopped and
    waited for as any other. environment: further variables.
    """

    def __init__(self, module: str, *arguments, **environment: str):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._outputs = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        for path in self._outputs:
            path.touch()
        given = ([module, *map(str, arguments)], os.environ | environment, self._outputs)
        self._process = _CONTEXT.Process(target=_run, args=given)
        self._process.start()
        self.sentinel = self._process.sentinel

    @property
    def returncode(self) -> int | None:
        """None while it runs; below 0: the signal that ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end: what it printed, and to stderr."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a process of a test", timeout)
        return tuple(path.read_text() for path in self._outputs)


def _run(words: list[str], environment: dict[str, str], outputs: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in enumerate(outputs, start=1):
        with path.open("w") as file:
            os.dup2(file.fileno(), descriptor)
    warnings.simplefilter("ignore")
    multiprocessing.current_process().name = "MainProcess"
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
