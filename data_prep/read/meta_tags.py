"""Values of a page's meta tags, `<meta name="keywords" content="...">`, by name.

A name stands in `name`, `property` (Open Graph, RDFa) or `itemprop` (microdata), in any case. A
name that stands on several tags, as article:tag, and one whose content is a list with commas by
its definition, as keywords, have several values.
"""

from collections.abc import Collection
from typing import Any

NAMES = ("name", "property", "itemprop")
# https://html.spec.whatwg.org/multipage/semantics.html#meta-keywords, and Google's of news.
LISTS = frozenset(("keywords", "news_keywords"))
_MOST_TAGS = 500


def meta_values(tree: Any, wanted: Collection[str]) -> tuple[dict[str, str | list[str]], list[str]]:
    """What a page says under the `wanted` names, in small letters, and the names that it has.

    tree: resiliparse's.
    """
    values: dict[str, list[str]] = {}
    for node in tree.document.query_selector_all("meta[content]")[:_MOST_TAGS]:
        content = (node.getattr("content") or "").strip()
        names = {(node.getattr(kind) or "").strip().lower(): None for kind in NAMES}
        for name in filter(None, names):
            found = values.setdefault(name, [])
            if name in wanted:
                found += content.split(",") if name in LISTS else [content]
    told = {name: list(dict.fromkeys(filter(None, map(str.strip, values.get(name, ())))))
            for name in wanted}  # fmt: skip
    return {n: v if len(v) > 1 else v[0] for n, v in told.items() if v}, list(values)
