"""MLflow's own tracking server, in a process that can be killed and started again."""

import base64
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

USER, PASSWORD = "me", "hush-hush"
OPEN_S = 90


class MlflowServer:
    """Serves a database; `locked` asks for `USER` and `PASSWORD`."""

    def __init__(self, folder: Path, port: int, locked: bool = False):
        self.database = f"sqlite:///{folder / 'server.db'}"
        self.port = port
        self.locked = locked
        self.process: subprocess.Popen | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, __file__, self.database, str(self.port), str(int(self.locked))]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + OPEN_S
        while not self._answers():
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.address}/health", timeout=5)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


def _main(database: str, port: str, locked: str) -> None:
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = database
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(Path(database.partition(":///")[2]).parent)
    # Newer versions ask of which host a request is.
    os.environ["MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE"] = "true"
    from mlflow.server import app
    from werkzeug.serving import run_simple

    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def guarded(environ, start_response):
        if locked == "1" and environ.get("HTTP_AUTHORIZATION") != expected:
            start_response("401 Unauthorized", [("content-type", "text/plain")])
            return [b"no"]
        return app(environ, start_response)

    run_simple("127.0.0.1", int(port), guarded, threaded=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
