"""What a page says of its licence: the first of several places where pages say it."""

import re
from collections.abc import Iterator
from typing import Any

from resiliparse.parse.html import HTMLTree

from data_prep.read.linked_data import Scripts
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
_MOST_THINGS = 200


def page_license(tree: HTMLTree, scripts: Scripts) -> str:
    """An address as a rule, at most MAX_LICENSE characters; empty where nothing is said.

    scripts: the page's linked data.
    """
    metas, _ = meta_values(tree, _METAS)
    named = (metas[name] for name in _METAS if name in metas)
    texts = (
        *_addresses(tree, _MARKED),
        *(value if isinstance(value, str) else value[0] for value in named),
        *_linked_data(scripts),
        *_addresses(tree, _LINKED),
    )
    return next((text[:MAX_LICENSE] for text in map(_line, texts) if text), "")


def _line(text: str) -> str:
    return " ".join(text.split())


def _addresses(tree: HTMLTree, places: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for selector, name in places:
        if node := tree.document.query_selector(selector):
            yield node.getattr(name) or ""


def _linked_data(scripts: Scripts) -> Iterator[str]:
    for script in scripts:
        for thing in _things(script.value) if LICENSE in script.text else ():
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
    """A licence is an address, a thing that has one, or the first of several."""
    values = value[:_MOST_THINGS] if isinstance(value, list) else [value]
    return next(filter(None, map(_address, values)), "")


def _address(value: Any) -> str:
    if isinstance(value, dict):
        named = (value.get(name) for name in ("@id", "url", "name"))
        return next((each for each in named if each and isinstance(each, str)), "")
    return value if isinstance(value, str) else ""
