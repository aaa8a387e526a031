"""Tells a web address or a command of the user's what became of a run; needs no torch.

Neither may delay or fail what tells: each has a time limit, and its failure is a line. No line
holds the address, nor what a server or a library says about it, which may repeat it.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from geo_nemo.common.errors import UserError
from geo_nemo.common.stuck import give_up
from geo_nemo.config.notify import Notify

EVENT = "GEO_NEMO_EVENT"
USER_AGENT = "geo-nemo"
# Beside a request's own limit, which counts from one answer of the network to the next.
GRACE_S = 1.0


class _NoRedirect(HTTPRedirectHandler):
    """A message is a POST, which urllib would send on as a GET."""

    def redirect_request(self, *_: Any) -> None:
        return None


def check_notify(settings: Notify, environment: Mapping[str, str] = os.environ) -> None:
    """Raise `UserError`, without the address, where it could not be told to anybody."""
    if settings.webhook is not None:
        _address(settings.webhook, environment)
    if settings.command is not None:
        _words(settings.command)


def send(
    settings: Notify, message: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> list[str]:
    """Tell `message`, whose keys `event` and `text` are set; why it could not be told, by line.

    Returns after at most `timeout_seconds` and a moment; raises nothing.
    """
    ways: dict[str, Callable[[], None]] = {}
    if settings.webhook is not None:
        ways["webhook"] = lambda: _post(settings, message, environment)
    if settings.command is not None:
        ways["command"] = lambda: _run(settings, message, environment)
    at_work = [_InTime(way, work, settings.timeout_seconds) for way, work in ways.items()]
    return [problem for each in at_work if (problem := each.problem())]


class _InTime:
    """Work in a thread of its own, which nobody waits for longer than it may take."""

    def __init__(self, way: str, work: Callable[[], None], seconds: float):
        self.way, self.seconds = way, seconds
        self._work, self._problem = work, ""
        self._thread = threading.Thread(target=self._do, name=f"notify {way}", daemon=True)
        self._thread.start()

    def problem(self) -> str:
        """Empty where it was done."""
        self._thread.join(self.seconds + GRACE_S)
        if self._thread.is_alive():
            give_up(self._thread.is_alive)
            self._problem = f"nothing came of it in {self.seconds:g} s"
        return f"notify.{self.way}: {self._problem}" if self._problem else ""

    def _do(self) -> None:
        try:
            self._work()
        except UserError as error:
            self._problem = str(error).removeprefix(f"notify.{self.way}: ")
        except HTTPError as error:
            self._problem = f"the server answers {error.code}"
        except (TimeoutError, subprocess.TimeoutExpired):
            self._problem = f"no end in {self.seconds:g} s"
        except URLError as error:
            self._problem = _reason(error.reason, self.seconds)
        except Exception as error:
            self._problem = _reason(error, self.seconds)


def _reason(error: object, seconds: float) -> str:
    """Why, in words that the system alone has chosen."""
    if isinstance(error, TimeoutError):
        return f"no answer in {seconds:g} s"
    told = error.strerror if isinstance(error, OSError) else None
    return f"cannot be reached ({told or type(error).__name__})"


def _post(settings: Notify, message: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": USER_AGENT}
    request = Request(
        _address(settings.webhook or "", environment),
        data=json.dumps(message).encode(),
        headers=headers,
        method="POST",
    )
    with build_opener(_NoRedirect).open(request, timeout=settings.timeout_seconds):
        pass  # the status says all; what the server writes is nobody's


def _run(settings: Notify, message: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    process = subprocess.Popen(
        _words(settings.command or ""),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment, EVENT: str(message["event"])},
        start_new_session=True,
    )
    try:
        process.communicate(json.dumps(message).encode(), timeout=settings.timeout_seconds)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise UserError(f"ended with exit code {process.returncode}")


def _address(variable: str, environment: Mapping[str, str]) -> str:
    """The address that a variable holds."""
    address = environment.get(variable, "").strip()
    if not address:
        raise UserError(
            f"notify.webhook: the environment variable {variable} is not set: export it (in a job: "
            "in the file of slurm.env_file), or leave notify.webhook out"
        )
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable or not address.isascii() or any(c.isspace() for c in address):
        raise UserError(
            f"notify.webhook: what the environment variable {variable} holds is no address: "
            "http:// or https:// with a host"
        )
    return address


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        raise UserError("notify.command: a quotation mark is not closed") from None
    if not words or shutil.which(words[0]) is None:
        raise UserError(
            f"notify.command: {words[0] if words else 'it'} is no program here: give its path"
        )
    return words
