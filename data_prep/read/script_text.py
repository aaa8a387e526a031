"""The article of a page that shows nothing without its scripts: a text with markup in their data.

1. Values of scripts: JSON (`__NEXT_DATA__`), objects that JavaScript assigns, and what Next.js
   pushes to its client (`self.__next_f`).
2. Of their strings with several paragraphs the longest that has what the page's title tells:
   scripts hold much else, and other articles.
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from resiliparse.parse.html import HTMLTree

from data_prep.read.article import article
from data_prep.read.blocks import blocks_of

MOST_SCRIPTS, MOST_VALUES = 300, 50_000
LEAST_SCRIPT = LEAST_STRING = 400
LEAST_PARAGRAPHS = 2
_PUSHED = re.compile(r'self\.__next_f\.push\(\[1,("(?:[^"\\]|\\.)*")\]\)', re.DOTALL)
# Rows of what Next.js pushes: a text, with its length in bytes, or JSON.
_TEXT_ROW = re.compile(rb"(?<![0-9a-f])[0-9a-f]{1,4}:T([0-9a-f]{1,6}),")
_JSON_ROW = re.compile(r"^[0-9a-f]{1,4}:([\[{].*)$", re.MULTILINE)
_ASSIGNED = re.compile(r"=\s*(?=[\[{])")
_MOST_ASSIGNED = 5
# Of a paragraph, as scripts write it.
_ENDS = re.compile(r"(?:<|\\+u003c)\\*/p(?:>|\\+u003e)|<br", re.IGNORECASE)
_PARAGRAPH = re.compile(r"</p>|<br ?/?>\s*<br", re.IGNORECASE)
# Words of titles: of East Asian scripts pairs of characters, which need no spaces.
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2,}|[^\\W\\d_]{4,}")
_LEAST_SHARE = 0.5


def script_text(tree: HTMLTree) -> str:
    """The article in the page's scripts; empty where they hold none that its title is of."""
    title = _words(tree.title or "")
    texts = sorted(filter(_has_paragraphs, _strings(_values(tree))), key=len, reverse=True)
    for markup in texts:
        folded = markup.casefold()
        if title and sum(word in folded for word in title) >= _LEAST_SHARE * len(title):
            body = HTMLTree.parse(f"<body><div>{markup}</div>").body
            return article(blocks_of(body.html))
    return ""


def _values(tree: HTMLTree) -> Iterator[Any]:
    pushed = []
    for node in tree.document.query_selector_all("script:not([src])")[:MOST_SCRIPTS]:
        text, kind = (node.text or "").strip(), (node.getattr("type") or "").lower()
        if text.startswith("self.__next_f"):
            pushed += _PUSHED.findall(text)
        elif len(text) < LEAST_SCRIPT or "ld+json" in kind or not _ENDS.search(text):
            continue
        elif kind.endswith("json"):
            yield _decoded(text, 0)
        else:
            found = [match.end() for match in _ASSIGNED.finditer(text)][:_MOST_ASSIGNED]
            yield next((value for at in found if (value := _decoded(text, at))), None)
    if any(map(_ENDS.search, pushed)):
        yield from _rows("".join(_decoded(each, 0) or "" for each in pushed))


def _rows(pushed: str) -> Iterator[Any]:
    data = pushed.encode("utf-8", "replace")
    for found in _TEXT_ROW.finditer(data):
        end = found.end() + int(found[1], 16)
        yield data[found.end() : end].decode("utf-8", "replace")
    for found in _JSON_ROW.finditer(pushed):
        yield _decoded(found[1], 0)


def _decoded(text: str, start: int) -> Any:
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None


def _strings(values: Iterator[Any]) -> Iterator[str]:
    waiting, seen = deque(values), 0
    while waiting and seen < MOST_VALUES:
        seen += 1
        value = waiting.popleft()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)


def _has_paragraphs(text: str) -> bool:
    return len(text) >= LEAST_STRING and len(_PARAGRAPH.findall(text)) >= LEAST_PARAGRAPHS


def _words(title: str) -> set[str]:
    found: set[str] = set()
    for word in _WORD.findall(title.casefold()):
        pairs = {word[at : at + 2] for at in range(len(word) - 1)}
        found |= pairs if word[0] >= "\u3040" else {word}
    return found
