"""Messages about a run's end: to a real web server that behaves in every way, and to commands."""

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from geo_nemo.config import Notify, UserError
from geo_nemo.runtime.notify import check_notify, send

SECRET = "T0/B0/s3cr3t"
MESSAGE = {"event": "failed", "text": "geo-nemo: a failed: größer", "step": 3}


class Server(ThreadingHTTPServer):
    """Answers `status` after `delay` seconds, or with bytes that are no HTTP."""

    daemon_threads = True

    def __init__(self, status=200, delay=0.0, raw=b"", headers=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.delay, self.raw, self.headers = status, delay, raw, headers
        self.seen = []

    def handle_error(self, *_): ...  # of a client that gave up

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/services/{SECRET}?key={SECRET}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), body))
        time.sleep(self.server.delay)
        if self.server.raw:
            self.wfile.write(self.server.raw)
            return
        self.send_response(self.server.status, f"about {SECRET}")
        for name, value in self.server.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(SECRET.encode())

    def do_GET(self):
        self.server.seen.append((self.path, {}, b""))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_): ...


@contextmanager
def serving(**how):
    server = Server(**how)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def post(address, seconds=1.0):
    settings = Notify(webhook="HOOK", timeout_seconds=seconds)
    return send(settings, MESSAGE, {"HOOK": address})


def test_a_message_is_posted_as_json():
    with serving() as server:
        assert post(server.address) == []
    ((path, headers, body),) = server.seen
    assert path == f"/services/{SECRET}?key={SECRET}"
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body) == MESSAGE


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"status": 500}, "notify.webhook: the server answers 500"),
        ({"status": 404}, "notify.webhook: the server answers 404"),
        ({"raw": b"no http\r\n\r\n"}, "notify.webhook: cannot be reached (BadStatusLine)"),
        (
            {"status": 302, "headers": [("Location", "/elsewhere")]},
            "notify.webhook: the server answers 302",
        ),
    ],
)
def test_a_server_that_refuses_is_a_line_without_the_address(how, problem):
    with serving(**how) as server:
        assert post(server.address) == [problem]
        assert len(server.seen) == 1  # not sent on to elsewhere


def test_a_server_that_hangs_is_given_up():
    with serving(delay=20) as server:
        begin = time.monotonic()
        (problem,) = post(server.address, 0.5)
        assert time.monotonic() - begin < 5
    assert problem == "notify.webhook: no end in 0.5 s"


def test_a_server_that_takes_connections_and_answers_a_byte_at_a_time_is_given_up():
    """Each byte comes in time, and so the socket's own limit never ends it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drip():
        connection, _ = listener.accept()
        with connection:
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)

    threading.Thread(target=drip, daemon=True).start()
    begin = time.monotonic()
    (problem,) = post(f"http://127.0.0.1:{listener.getsockname()[1]}/{SECRET}", 0.3)
    assert time.monotonic() - begin < 5
    assert problem == "notify.webhook: nothing came of it in 0.3 s"


def test_a_server_that_is_down_is_a_line():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/{SECRET}") == [
        "notify.webhook: cannot be reached (Connection refused)"
    ]


def test_a_host_that_no_name_server_knows_is_a_line():
    (problem,) = post(f"http://nowhere.invalid/{SECRET}", 5)
    assert problem.startswith("notify.webhook: ")
    assert SECRET not in problem and "nowhere" not in problem


@pytest.mark.parametrize(
    "address",
    ["", "  ", "ftp://host/x", SECRET, f"https:///{SECRET}", f"http://host:{SECRET}/", "http://[::1",
     f"http://host/a b{SECRET}", f"http://h/{SECRET}\nX: y", f"http://h/ü{SECRET}"],
)  # fmt: skip
def test_what_is_no_address_is_a_mistake_that_does_not_repeat_it(address):
    settings = Notify(webhook="HOOK")
    with pytest.raises(UserError) as error:
        check_notify(settings, {"HOOK": address})
    assert "HOOK" in str(error.value) and SECRET not in str(error.value)
    (problem,) = post(address)
    assert problem.startswith("notify.webhook: ") and SECRET not in problem


def run_command(command, seconds=10.0, **environment):
    settings = Notify(command=command, timeout_seconds=seconds)
    return send(settings, MESSAGE, {"PATH": "/usr/bin:/bin", **environment})


def test_a_command_gets_the_message_and_the_event(tmp_path):
    out = tmp_path / "out"
    assert run_command(f"sh -c 'cat >{out}; echo $GEO_NEMO_EVENT >>{out}'") == []
    content = out.read_text()
    assert json.loads(content.removesuffix("failed\n")) == MESSAGE
    assert content.endswith("failed\n")


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("sh -c 'exit 3'", "notify.command: ended with exit code 3"),
        ("true", None),  # reads nothing
        ("sh -c 'kill -9 $$'", "notify.command: ended with exit code -9"),
        ("no-such-program x", "notify.command: no-such-program is no program here"),
        ("sh -c 'x", "notify.command: a quotation mark is not closed"),
        (" ", "notify.command: it is no program here"),
    ],
)
def test_a_command_that_fails_is_a_line(command, problem):
    found = run_command(command)
    assert len(found) == (problem is not None)
    if problem:
        assert found[0].startswith(problem)


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path):
    (problem,) = run_command(f"sh -c '(sleep 600; touch {tmp_path}/late) & wait'", 0.5)
    assert problem == "notify.command: no end in 0.5 s"
    assert not [p.pid for p in psutil.process_iter() if f"{tmp_path}/late" in " ".join(_words(p))]


def _words(process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def test_both_ways_are_tried_at_the_same_time(tmp_path):
    settings = Notify(webhook="HOOK", command="sleep 9", timeout_seconds=3)
    with serving(delay=9) as server:
        begin = time.monotonic()
        problems = send(settings, MESSAGE, {"HOOK": server.address, "PATH": "/usr/bin:/bin"})
        assert time.monotonic() - begin < 5.9
    assert [problem.partition(":")[0] for problem in problems] == [
        "notify.webhook", "notify.command",
    ]  # fmt: skip


def test_nobody_is_told_by_default():
    assert not Notify().is_asked_for
    assert send(Notify(), MESSAGE, {}) == []
