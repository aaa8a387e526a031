"""A server on this machine that answers W&B's client as far as a run needs, and keeps its rows."""

import contextlib
import gzip
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "0123456789abcdef" * 3


class WandbServer(ThreadingHTTPServer):
    """rows: what each run has as history. refuses: answer 401 to every key. dead: answer nobody."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows: list[dict] = []
        self.runs: list[dict] = []
        self.states: list[tuple[bool | None, int | None]] = []
        self.refuses = self.dead = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def steps(self) -> list[int]:
        return [row["_step"] for row in self.rows]

    def die(self) -> None:
        """Answer nobody any more, on open connections neither."""
        self.dead = True
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address) -> None: ...

    def graphql(self, operation: str, variables: dict) -> dict:
        entity = {"id": "e", "name": "team"}
        if operation == "Viewer":
            user = {"id": "u", "entity": "team", "username": "me", "flags": "{}"}
            return {"viewer": user | {"teams": {"edges": []}}, "serverInfo": None}
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "RunResumeStatus":
            model = {"id": "m", "name": variables["project"], "entity": entity}
            return {"model": model | {"bucket": self._bucket(variables["name"])}}
        if operation == "UpsertBucket":
            self.runs.append(variables)
            project = {"id": "p", "name": variables["project"], "entity": entity}
            about = {"id": "r", "name": variables["name"], "displayName": "d", "description": ""}
            bucket = about | {"config": "{}", "sweepName": None, "project": project}
            bucket["historyLineCount"] = len(self.rows)
            return {"upsertBucket": {"bucket": bucket, "inserted": not self.rows}}
        if operation == "CreateRunFiles":
            files = [{"name": f, "uploadUrl": f"{self.address}/put"} for f in variables["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {}

    def _bucket(self, name: str) -> dict | None:
        """What a client needs to go on in a run; None of one that has nothing."""
        if not self.rows:
            return None
        tail = json.dumps([json.dumps(self.rows[-1])])
        counts = {"historyLineCount": len(self.rows), "eventsLineCount": 0, "logLineCount": 0}
        tails = {"historyTail": tail, "eventsTail": "[]", "summaryMetrics": "{}", "config": "{}"}
        about = {"id": "r", "name": name, "displayName": "d", "tags": [], "wandbConfig": '{"t": 1}'}
        return {**about, **counts, **tails}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.server.dead:
            self.close_connection = True
            return
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.refuses:
            self._answer(401, {"errors": [{"message": "user is not logged in"}], "data": None})
        elif self.path == "/graphql":
            asked = json.loads(body)
            named = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            variables = asked.get("variables") or {}
            self._answer(200, {"data": self.server.graphql(named[1] if named else "", variables)})
        else:
            if "file_stream" in self.path:
                self._take_rows(json.loads(body))
            self._answer(200, {})

    do_GET = do_PUT = do_POST

    def _take_rows(self, sent: dict) -> None:
        history = sent.get("files", {}).get("wandb-history.jsonl")
        if history:
            assert history["offset"] == len(self.server.rows), "rows that are sent again"
            self.server.rows += [json.loads(row) for row in history["content"]]
        if sent.get("complete") is not None:
            self.server.states.append((sent["complete"], sent.get("exitcode")))

    def _answer(self, status: int, content: dict) -> None:
        answer = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *message) -> None: ...


@contextlib.contextmanager
def serving() -> Iterator[WandbServer]:
    """A server that answers until the block ends."""
    server = WandbServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        if not server.dead:
            server.die()
