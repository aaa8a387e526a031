"""Memory of this process' own: anonymous pages, since those of mapped files can be dropped."""

import re
import threading
from pathlib import Path

POLL_S = 0.02


def own_bytes() -> int:
    """Resident anonymous bytes now."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


class Peak:
    """The most `own_bytes` while the context lasts, looked at 50 times a second."""

    def __init__(self):
        self.bytes = 0
        self._over = threading.Event()

    def __enter__(self) -> "Peak":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(POLL_S):
            self.bytes = max(self.bytes, own_bytes())
        self.bytes = max(self.bytes, own_bytes())
