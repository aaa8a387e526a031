"""Small raw corpora for the tests of data preparation."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

HOSTS = {"gb": "news.co.uk", "ke": "daily.co.ke", "us": "example.com"}
WORDS = re.findall(r"\w+", "the harbour council met on tuesday to talk about rain trains and bread")


def record(i: int, place: str = "gb", **changes: Any) -> dict[str, Any]:
    """A good record, unlike every other `i`."""
    words = [WORDS[(i * k) % len(WORDS)] for k in range(1, 20)]
    good = {
        "id": f"doc-{i}",
        "url": f"https://{HOSTS[place]}/story/{i}",
        "country": place,
        "title": f"Story {i}",
        "text": f"Report {i}.\n" + " ".join(words),
    }
    return good | changes


def records(count: int) -> list[dict[str, Any]]:
    """`count` good records, in turn from gb, ke and us."""
    return [record(i, ("gb", "ke", "us")[i % 3]) for i in range(count)]


def write_jsonl(path: Path, rows: list[dict[str, Any] | bytes]) -> Path:
    """Rows as lines; bytes are written as they are. gzip where the name ends in .gz."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
