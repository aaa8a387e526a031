"""The main text of a web page: of several ways to find it, the first that finds enough.

1. The blocks of the article (data_prep.read.article).
2. Where that is tiny, or a short part of it: `articleBody` of the page's linked data (JSON-LD).
3. Where it is tiny: a text in other scripts (data_prep.read.script_text), then the blocks again,
   with what stands in a header or aside: of pages that do not close it that is all.
4. Where that is not there either: resiliparse's main content.
"""

import html
import re
from functools import partial

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from data_prep.read.article import article
from data_prep.read.blocks import blocks_of
from data_prep.read.linked_data import Scripts, linked_bodies, same_headline
from data_prep.read.script_text import script_text

# Main text of fewer characters is looked for elsewhere on the page, too.
TINY = 250
# How much more another way must find.
FACTOR = 1.5
# Of a short text, which may be the start of one that the page shows to subscribers alone.
SHORT, MUCH = 1500, 3
ARTICLE, LINKED, SCRIPT, SECOND = "article", "linked data", "script", "resiliparse"
_TAG = re.compile(r"<[^>]{1,200}>")
_LEAST = 40


def main_text(tree: HTMLTree, scripts: Scripts) -> tuple[str, str]:
    """Text, and the way by which it was found.

    scripts: the page's linked data.
    """
    text = article(blocks_of(tree.body.html)) if tree.body else ""
    if len(text) >= TINY:
        return _whole(tree, scripts, text) if len(text) < SHORT else (text, ARTICLE)
    best, by = text, ARTICLE
    linked = partial(linked_text, scripts=scripts)
    for way, find in ((LINKED, linked), (SCRIPT, script_text), (ARTICLE, _with_layout)):
        candidate = find(tree)
        if len(candidate) > max(FACTOR * len(best), _LEAST):
            best, by = candidate, way
        if len(best) >= TINY:
            return best, by
    if best is text and len(main := main_content(tree)) > max(FACTOR * len(text), _LEAST):
        return main, SECOND
    return best, by


def _whole(tree: HTMLTree, scripts: Scripts, text: str) -> tuple[str, str]:
    """The linked data's text where `text` is a short part of it, or that of another part of the
    page; else `text`."""
    least = MUCH * len(text)
    # Where none is long enough no script is read as JSON.
    if any(len(each.text) > least and "articleBody" in each.text for each in scripts):
        linked, own = _linked(tree, scripts)
        longest = max(text.splitlines(), key=len)[:_LEAST]
        if len(linked) > least and (own or longest in linked):
            return linked, LINKED
    return text, ARTICLE


def _with_layout(tree: HTMLTree) -> str:
    """The article where the page's header or an aside, which is not closed, holds it."""
    text = article(blocks_of(tree.body.html, layout=True)) if tree.body else ""
    return text if len(text) >= TINY else ""


def main_content(tree: HTMLTree) -> str:
    """What resiliparse finds."""
    return extract_plain_text(
        tree, main_content=True, list_bullets=False, alt_texts=False, comments=False,
        post_meta=False,
    )  # fmt: skip


def linked_text(tree: HTMLTree, scripts: Scripts) -> str:
    """The longest `articleBody` of the linked data, without markup; empty where there is none.

    One whose headline is the page's title goes before those of other articles.
    """
    return _linked(tree, scripts)[0]


def _linked(tree: HTMLTree, scripts: Scripts) -> tuple[str, bool]:
    """The text, and whether its headline is the page's title."""
    found = list(linked_bodies(scripts))
    own = [body for headline, body in found if same_headline(headline, tree.title or "")]
    longest = max(own or [body for _, body in found], key=len, default="")
    longest = _without_markup(longest)
    if "&" in longest:
        longest = html.unescape(longest)
        if "</p>" in longest:  # markup that was itself escaped
            longest = _without_markup(longest)
    lines = (" ".join(line.split()) for line in longest.splitlines())
    return "\n".join(filter(None, lines)), bool(own)


def _without_markup(text: str) -> str:
    return _TAG.sub("", re.sub(r"</p>|<br ?/?>", "\n", text)) if "<" in text else text
