"""A process that turns HTTP responses with HTML into title, date and main text.

It is run as a script, by data_prep.read.html: a page made to hang or to crash the extractor then
ends this process and not the preparation. On stdin: the length of a response in four bytes, then
the response; on stdout: the same way, JSON of what was found. Arguments: bytes that a page may
have, CPU seconds that it may take, and names of meta tags to look for.

data_prep.read.main_text finds the text. Resiliparse's parser takes time that grows with the square
of how deep elements stand in each other, hence the limit of time.
"""

import re
import signal
import struct
import sys
from typing import Any
from urllib.parse import urljoin

import orjson
from resiliparse.parse.html import DOMNode, HTMLTree

from data_prep.beside import lower_limits
from data_prep.quarantine import CUT_BODY
from data_prep.read.http import BodyError, decoded, is_html, split_response
from data_prep.read.linked_data import Scripts
from data_prep.read.main_text import main_text
from data_prep.read.meta_tags import meta_values
from data_prep.read.page_date import page_day
from data_prep.read.page_encoding import decode
from data_prep.read.page_license import LICENSE, page_license

HEADER_BYTES = 32 << 10
# How a page begins that has no Content-Type.
_PAGE = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}>\s*)?<(?:!doctype html|html|head|body|!--)", re.I
)
# XML ends these so; in HTML all behind them would be of them.
_CLOSED = re.compile(r"<(title|script|style|textarea|iframe|noscript|div|span|p|a|i|b)\b([^<>]*)/>")
_ADDRESSES = (
    ('link[rel~="canonical" i]', "href"), ('meta[property="og:url"]', "content"),
    ('meta[name="og:url"]', "content"), ('meta[name="twitter:url"]', "content"),
)  # fmt: skip
# A head that has these is whole.
_OF_HEADS = ("title", 'meta[property="og:title"]', 'link[rel~="canonical" i]')
MAX_ADDRESS = 4096
_MOST_HEADINGS = 10
# `mainEntityOfPage` of linked data.
_OWN_PAGE = re.compile(
    r'"mainEntityOfPage"\s*:\s*(?:\{[^{}]{0,300}?"@id"\s*:\s*)?"(https?:[^"\s]{5,2000})"'
)


def main() -> None:
    most, seconds, metas = int(sys.argv[1]), float(sys.argv[2]), frozenset(sys.argv[3:])
    lower_limits()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(4)) == 4:
        response = source.read(struct.unpack("<I", head)[0])
        # CPU time of this process; nothing handles the signal, so that it ends the process.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            found = extract(response, most, metas)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"[:200]}
        signal.setitimer(signal.ITIMER_PROF, 0)
        answer = orjson.dumps(found)
        target.write(struct.pack("<I", len(answer)) + answer)
        target.flush()


def extract(response: bytes, most: int, metas: frozenset[str] = frozenset()) -> dict[str, Any]:
    """`text`, `title` and `date` (a day; empty where the page tells none) of an HTTP response.

    `truncated` is CUT_BODY where its body ends early.
    `meta` and `meta_names`, too, where names of `metas` are asked for (`read.meta_tags`).
    `error` where its body cannot be had, or has more than `most` bytes; then `reason`, too, a key
    of data_prep.quarantine.REASONS.
    """
    try:
        return _extracted(response, most, metas)
    except BodyError as error:
        return {"error": str(error), "reason": error.reason}


def _extracted(response: bytes, most: int, metas: frozenset[str]) -> dict[str, Any]:
    """As `extract`. Raises BodyError."""
    _, fields, body = split_response(response, HEADER_BYTES)
    body, cut = decoded(fields, body, most)
    content_type = fields.get("content-type", "")
    if not is_html(content_type) and not _PAGE.match(body):
        why = f"type {content_type[:100]!r}" if content_type else "no Content-Type"
        return {"error": f"{why}, and no HTML", "reason": "no_html_page"}
    page = decode(body, content_type)
    if "xml" in content_type or page.lstrip().startswith("<?xml"):
        page = _CLOSED.sub(r"<\1\2></\1>", page)
    tree = HTMLTree.parse(page)
    scripts, said = Scripts(tree), _said_in(tree)
    text, extractor = main_text(tree, scripts)
    heading = _first_text(tree, "h1")
    more: dict[str, Any] = {}
    if metas:
        values, names = meta_values(tree, metas)
        if LICENSE in metas and LICENSE not in values and (license := page_license(tree, scripts)):
            values, names = values | {LICENSE: license}, [*names, LICENSE]
        sound = {
            name: _sound(value) if isinstance(value, str) else [_sound(each) for each in value]
            for name, value in values.items()
        }
        more = {"meta": sound, "meta_names": [_sound(name) for name in names]}
    return {
        "text": _sound(text), "title": _sound(_title(tree, said)), "date": page_day(tree, scripts),
        "canonical": _sound(_canonical(said, scripts)), "site": _sound(_site(said)),
        "heading": _sound(heading), "extractor": extractor,
        "truncated": CUT_BODY if cut else "", **more,
    }  # fmt: skip


def _said_in(tree: HTMLTree) -> DOMNode:
    """The head; the whole page where an element that may not stand in a head has ended it early."""
    whole = tree.head and all(tree.head.query_selector(selector) for selector in _OF_HEADS)
    return tree.head if whole else tree.document


def _title(tree: HTMLTree, said: DOMNode) -> str:
    # The title for sharing has no name of the outlet behind it.
    meta = said.query_selector('meta[property="og:title"], meta[name="og:title"]')
    title = ((meta.getattr("content") or "") if meta else "").strip()
    return " ".join((title or tree.title or _first_text(tree, "h1")).split())


def _site(said: DOMNode) -> str:
    for name in ('meta[property="og:site_name"]', 'meta[name="application-name"]'):
        node = said.query_selector(name)
        if node and (found := (node.getattr("content") or "").strip()):
            return found[:100]
    return ""


def _first_text(tree: HTMLTree, name: str) -> str:
    """Of the one such element, or of that one of several which the page's title begins with."""
    nodes = tree.body.get_elements_by_tag_name(name) if tree.body else ()
    texts = [" ".join((node.text or "").split())[:300] for node in nodes[:_MOST_HEADINGS]]
    title = (tree.title or "").strip()
    own = [text for text in texts if text and title.startswith(text)]
    return texts[0] if len(texts) == 1 else max(own, key=len, default="")


def _canonical(said: DOMNode, scripts: Scripts) -> str:
    """The page's own address in full; that of a front page where it names no other."""
    front = ""
    for selector, name in _ADDRESSES:
        node = said.query_selector(selector)
        found = ((node.getattr(name) or "") if node else "").strip()
        if found.startswith("//"):
            found = "https:" + found
        if found and (base := _base(said)):
            found = urljoin(base, found)
        if found.lower().startswith(("http://", "https://")) and len(found) < MAX_ADDRESS:
            if found.partition("://")[2].partition("/")[2]:
                return found
            front = front or found
    for script in scripts:
        if told := _OWN_PAGE.search(script.text):
            return told[1].replace("\\/", "/")
    return front


def _base(said: DOMNode) -> str:
    node = said.query_selector("base")
    found = (node.getattr("href") or "").strip() if node else ""
    return found if found.startswith(("http://", "https://")) else ""


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


if __name__ == "__main__":
    main()
