"""A web page that was saved as a file of its own.

Its address is that of a file beside it (`page.html.url`, one line; `page.url`, as desktops write
shortcuts), else that of its canonical link or linked data, else that of the comment which browsers
and SingleFile write (`<!-- saved from url=(0026)https://... -->`).
A field of the user's own is the content of a meta tag, by its name.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.config import Limits
from data_prep.read.fields import Fields
from data_prep.read.html import extractor
from data_prep.read.lines import BYTE_ORDER_MARK
from data_prep.read.own_metas import OwnMetas
from data_prep.read.record import EXCERPT_BYTES, Bad, Raw
from data_prep.read.unpack import Unpacked
from data_prep.read.warc import MAX_HEADER_BYTES, page_fields

SIDECAR = ".url"
MAX_ADDRESS_BYTES = 4096
_SAVED = re.compile(
    rb"<!--\s*saved from url=\(\d+\)(https?://[^\s>]+)"
    rb"|<!--\s*Page saved with SingleFile\s*url:\s*(https?://[^\s>]+)"
)
# Sections with other keys may stand above, and in it `IconFile=` and the like.
_SHORTCUT = re.compile(
    rb"^\[InternetShortcut\](?:[^\n]*\n(?!\[))*?[ \t]*URL=(\S+)", re.MULTILINE | re.IGNORECASE
)
_HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def read_page(stream: Unpacked, path: str, fields: Fields, limits: Limits) -> Iterator[Raw | Bad]:
    """The page as the one record of its file."""
    body = stream.read(limits.record_bytes + 1)
    head = body[:EXCERPT_BYTES]
    if len(body) > limits.record_bytes:
        size = len(body) + stream.skip(1 << 62)
        yield Bad(1, "record_too_long", f"a page of {size} bytes", head)
        return
    own = OwnMetas(fields)
    page = extractor(limits.record_bytes, own.metas).extract(_HEADER + body)
    if "error" in page:
        yield Bad(1, page.get("reason", "no_main_text"), page["error"], head)
        return
    saved = _SAVED.search(body[:MAX_HEADER_BYTES])
    address = _beside(path) or ((saved[1] or saved[2]).decode("utf-8", "replace") if saved else "")
    extra = own.take(page)
    canonical = page.get("canonical", "")
    if _beside(path):
        page["canonical"] = ""
    found = page_fields({"url": address or canonical}, page) | extra
    if not found["url"]:
        why = f"the page names no canonical address, and there is no {Path(path).name}{SIDECAR}"
        yield Bad(1, "missing_url", why, head)
        return
    kept = {name: value for name, value in found.items() if value or name == "text"}
    yield Raw(1, kept, found["text"][:EXCERPT_BYTES].encode("utf-8", "replace"))


def _beside(path: str) -> str:
    """What a file beside the page says of its address; empty where there is none."""
    for name in _sidecars(path):
        try:
            with open(name, "rb") as file:
                text = file.read(MAX_ADDRESS_BYTES)
        except (OSError, ValueError):
            continue
        if shortcut := _SHORTCUT.search(text.removeprefix(BYTE_ORDER_MARK)):
            text = shortcut[1]
        return text.decode("utf-8-sig", "replace").strip()
    return ""


def beside_version(path: str) -> str:
    """Changes with the file that says a page's address; empty where there is none."""
    for name in _sidecars(path):
        try:
            state = os.stat(name)
        except (OSError, ValueError):
            continue
        return f"{state.st_size} {state.st_mtime_ns}"
    return ""


def _sidecars(path: str) -> tuple[str, str]:
    return path + SIDECAR, str(Path(path).with_suffix(SIDECAR))
