"""Linked data of a page (JSON-LD): what its scripts say of the article.

Scripts are read as JSON, also with what people leave around and in it (comments, CDATA, escapes
that JSON has not); the text of one that is cut off is looked through for what is whole in it.
A script is read when it is first asked for, and once for all who ask.
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import orjson

MOST_SCRIPTS, MOST_OBJECTS = 50, 2000
_SCRIPTS = 'script[type^="application/ld+json" i]'
_AROUND = re.compile(r"^\s*(?://\s*)?<!(?:--|\[CDATA\[)|(?://\s*)?(?:-->|\]\]>)\s*$")
_ESCAPE = re.compile(r'\\(["\\/bfnrtu])|\\')
_BODY = re.compile(r'"articleBody"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")', re.DOTALL)
_PUBLISHED = re.compile(r'"datePublished"\s*:\s*"([^"]{8,40})"')
_LETTERS = re.compile(r"[^\W_]+")


class Script:
    """A script of linked data, as it is written and as JSON."""

    def __init__(self, text: str):
        self.text = text

    @cached_property
    def value(self) -> Any:
        """Its value, in arrays and objects; None where it is no JSON."""
        return _loaded(self.text)

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """The objects in its value, those around others first."""
        return list(_objects(self.value))


class Scripts:
    """The scripts with linked data of a page, looked for when they are first asked for.

    tree: resiliparse's.
    """

    def __init__(self, tree: Any):
        self._tree = tree

    def __iter__(self) -> Iterator[Script]:
        return iter(self._found)

    @cached_property
    def _found(self) -> list[Script]:
        nodes = self._tree.document.query_selector_all(_SCRIPTS)[:MOST_SCRIPTS]
        return [Script(node.text or "") for node in nodes]


def linked_bodies(scripts: Scripts) -> Iterator[tuple[str, str]]:
    """Headline and `articleBody` of each article; of scripts that are no JSON without headline."""
    for script in scripts:
        for each in script.objects:
            body = each.get("articleBody")
            body = "\n".join(filter(_is_text, body)) if isinstance(body, list) else body
            headline = each.get("headline") or each.get("name")
            if isinstance(body, str):
                yield headline if isinstance(headline, str) else "", body
        for match in _BODY.finditer(script.text) if not script.objects else ():
            try:
                yield "", json.loads(_sound(match[1]), strict=False)
            except ValueError:
                continue


def linked_dates(scripts: Scripts) -> list[str]:
    """When the page was published, as it is written: what articles say goes before others."""
    of_articles: list[str] = []
    others: list[str] = []
    for script in scripts:
        for each in script.objects:
            kinds = str(each.get("@type", "")).lower()
            is_article = any(word in kinds for word in ("article", "posting", "report"))
            for name in ("datePublished", "dateCreated") if is_article else ("datePublished",):
                date = each.get(name)
                if isinstance(date, str | int) and not isinstance(date, bool):
                    (of_articles if is_article else others).append(str(date))
        others += _PUBLISHED.findall(script.text) if not script.objects else []
    return of_articles + others


def same_headline(headline: str, title: str) -> bool:
    """Whether a headline is a page's title, but for the site's name around it."""
    short, long = sorted(("".join(_LETTERS.findall(t.casefold())) for t in (headline, title)),
                         key=len)  # fmt: skip
    return bool(short) and short in long and 2 * len(short) > len(long)


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    bare = _AROUND.sub("", text)
    for written in (bare, _sound(bare)):
        try:
            # Not strict: line ends stand in texts as they are, and halves of characters.
            return json.loads(written, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    waiting, seen = deque([value]), 0
    while waiting and seen < MOST_OBJECTS:
        each = waiting.popleft()
        if isinstance(each, dict):
            seen += 1
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each[:MOST_OBJECTS]


def _sound(text: str) -> str:
    """JSON without the escapes that it has not, as `\\'`."""
    return _ESCAPE.sub(lambda match: match[0] if match[1] else "", text)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
