"""What a page says of its licence: the first of several places where pages say it."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
from resiliparse.parse.html import HTMLTree

from data_prep.read.linked_data import script_texts
from data_prep.read.meta_tags import meta_values

LICENSE = "license"
MAX_LICENSE = 200
_MARKED = (('link[rel~="license"]', "href"), ('a[rel~="license"]', "href"))
_METAS = ("cc:license", "dcterms.license", "dc.license", "dcterms.rights", "dc.rights")
# Weakest: a page may link to the licence of a picture.
_LINKED = (
    ('a[href*="creativecommons.org/licenses/"]', "href"),
    ('a[href*="creativecommons.org/publicdomain/"]', "href"),
)
# Types of linked data that are the page or its text, by their last word; not its pictures.
_TYPES = re.compile(r"(?:Article|Posting|Page|Report|CreativeWork)\Z")
_MOST_SCRIPTS, _MOST_CHARACTERS, _MOST_THINGS = 10, 1 << 20, 200


def page_license(tree: HTMLTree) -> str:
    """An address as a rule, at most MAX_LICENSE characters; empty where nothing is said."""
    metas, _ = meta_values(tree, _METAS)
    named = (metas[name] for name in _METAS if name in metas)
    texts = (
        *_addresses(tree, _MARKED),
        *(value if isinstance(value, str) else value[0] for value in named),
        *_linked_data(tree),
        *_addresses(tree, _LINKED),
    )
    return next((text[:MAX_LICENSE] for text in map(_line, texts) if text), "")


def _line(text: str) -> str:
    return " ".join(text.split())


def _addresses(tree: HTMLTree, places: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for selector, name in places:
        if node := tree.document.query_selector(selector):
            yield node.getattr(name) or ""


def _linked_data(tree: HTMLTree) -> Iterator[str]:
    for text in script_texts(tree)[:_MOST_SCRIPTS]:
        if LICENSE not in text or len(text) > _MOST_CHARACTERS:
            continue
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        for thing in _things(found):
            kinds = thing.get("@type")
            kinds = kinds if isinstance(kinds, list) else [kinds]
            if any(isinstance(kind, str) and _TYPES.search(kind) for kind in kinds):
                yield _said(thing.get(LICENSE))


def _things(found: Any) -> list[dict[str, Any]]:
    """Those on top, and those of a `@graph`."""
    tops = found if isinstance(found, list) else [found]
    things = [top for top in tops[:_MOST_THINGS] if isinstance(top, dict)]
    for top in tuple(things):
        graph = top.get("@graph")
        inside = graph if isinstance(graph, list) else [graph]
        things += [thing for thing in inside[:_MOST_THINGS] if isinstance(thing, dict)]
    return things


def _said(value: Any) -> str:
    """A licence is an address, or a thing that has one."""
    if isinstance(value, list):
        return next(filter(None, map(_said, value[:_MOST_THINGS])), "")
    if isinstance(value, dict):
        return next((v for n in ("@id", "url", "name") if isinstance(v := value.get(n), str)), "")
    return value if isinstance(value, str) else ""
