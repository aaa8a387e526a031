"""Blocks of a page's text, each with the element that holds it and how much of it is links.

The parser is resiliparse's. Its tree is walked as text that it serialises, balanced and with quoted
attributes: from Python that is four times as fast as to visit the tree's nodes.
"""

import html
import re
from dataclasses import dataclass, field
from typing import NamedTuple

# Elements whose content is no markup; none of them stands in another.
_GONE = re.compile(r"<(?:!--|(script|style|textarea|iframe|xmp|noembed|noframes|plaintext)\b)")
_TAG = re.compile(r'(<[^>"]*(?:"[^"]*"[^>"]*)*>)')
_NAMED = re.compile(r' (?:class|id|role)="([^"]*)"')
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_UNSEEN = re.compile(
    r' hidden(?:[\s>]|="")| style="[^"]*(?:display\s*:\s*none|visibility\s*:\s*hidden)'
)
_ROOTS = frozenset(("html", "body", "article", "main"))
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param",
     "source", "track", "wbr")
)  # fmt: skip
# Never of the text, whatever a page's classes say.
_APART = frozenset(
    ("nav", "aside", "footer", "header", "figcaption", "button", "dialog", "video", "audio",
     "canvas", "label", "map", "menu", "noscript", "rp", "rt", "rtc", "template", "title", "svg",
     "math", "select", "object")
)  # fmt: skip
# Of these, what a page that does not close it holds all of its text in.
_LAYOUT = frozenset(("aside", "header"))
_INLINE = frozenset(
    ("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em",
     "font", "i", "ins", "kbd", "mark", "nobr", "picture", "q", "rb", "rp", "rt", "rtc", "ruby",
     "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "td", "th", "time", "tt", "u",
     "var")
)  # fmt: skip
_COMMENTS = (
    "comment", "comments", "commentlinks", "commentlist", "commentaires", "comentarios",
    "commenti", "kommentare", "kommentarer", "komentarze", "leserkommentare", "reacties",
    "yorumlar",
)  # fmt: skip
# Words of classes and ids, as pages of many publishers name what stands beside an article.
_BESIDE = frozenset(
    ("ad", "ads", "advert", "advertisement", "advertising", "adverts", "alert", "also", "author",
     "banner", "bio", "bookmark", "breadcrumb", "breadcrumbs", "byline", "caption", "carousel",
     *_COMMENTS, "complementary", "consent", "contentinfo", "cookie", "cookies",
     "copyright", "credit", "dateline", "dek", "dialog", "disclaimer", "disqus", "follow",
     "foot", "footer", "gallery", "gdpr", "headline", "hidden", "infobox", "inset", "login",
     "masthead", "menu", "meta", "modal", "more", "most", "nav", "navbar", "navigation",
     "newsletter", "next", "noprint", "outbrain", "pager", "pagination", "paywall", "player",
     "playlist", "popular", "popup", "prev", "privacy", "profile", "promo", "pullquote",
     "rating", "ratings", "recirc", "recommend", "recommended", "register", "related",
     "relatedposts", "respond", "share", "sharedaddy", "sharing", "sidebar", "signup", "skip",
     "slideshow", "social", "sponsor", "sponsored", "sponsors", "standfirst", "subhead",
     "subscribe", "subtitle", "summary", "taboola", "tag", "tags", "teaser", "teasers",
     "timestamp", "toc", "toolbar", "topbar", "trending", "video", "widget", "widgets",)
)  # fmt: skip
# Of these, what is of no article even where it holds most of a page's prose.
NEVER = frozenset(
    (*_COMMENTS, "consent", "cookie", "cookies", "disqus", "gdpr", "modal",
     "newsletter", "outbrain", "popup", "privacy", "related", "relatedposts", "respond",
     "subscribe", "taboola",)
)  # fmt: skip


class Block(NamedTuple):
    """A run of text between the borders of block elements.

    links: characters of it in links. element, region: numbers, see Blocks. tag: of the element.
    """

    text: str
    links: int
    element: int
    region: int
    tag: str


@dataclass(slots=True)
class Blocks:
    """A page's blocks in its order.

    parents: of each block element the number of the one around it; 0 is the page, without one.
    regions: of each part that a page marks as beside its article, the one around it; 0 is none.
    marks: the words that mark each region, see `_BESIDE`.
    bodies: elements that a page marks as the article.
    tags: of each block element its name.
    """

    blocks: list[Block] = field(default_factory=list)
    parents: list[int] = field(default_factory=lambda: [-1])
    tags: list[str] = field(default_factory=lambda: ["body"])
    regions: list[int] = field(default_factory=lambda: [-1])
    marks: list[frozenset[str]] = field(default_factory=lambda: [frozenset()])
    bodies: list[int] = field(default_factory=list)


class _Kind(NamedTuple):
    """What a start tag tells of its element.

    apart: it and all in it are no text. beside: the words that make it a region.
    """

    name: str
    apart: bool
    inline: bool
    beside: frozenset[str]
    body: bool


def blocks_of(body: str, layout: bool = False) -> Blocks:
    """The blocks of a page's body, as resiliparse serialises it.

    layout: also what stands in headers and asides, as regions.
    """
    found = Blocks()
    blocks, parents, tags, regions = found.blocks, found.parents, found.tags, found.regions
    kinds: dict[str, _Kind] = {}
    pieces: list[str] = []
    links = 0
    # Of the innermost open element; those around it, to come back to.
    element, region, link, inline = 0, 0, False, False
    around: list[tuple[int, int, bool, bool]] = []
    # Elements that are open inside one that is no text, with that one.
    apart = 0

    def end_block() -> None:
        nonlocal links
        text = "".join(pieces)
        text = " ".join((html.unescape(text) if "&" in text else text).split())
        if text:
            blocks.append(Block(text, links, element, region, tags[element]))
        pieces.clear()
        links = 0

    parts = _TAG.split(_without_gone(body))
    for text, tag in zip(parts[::2], parts[1::2], strict=False):
        if apart:
            if tag[1] == "/":
                apart -= 1
            elif tag[1:-1].partition(" ")[0] not in _VOID:
                apart += 1
            continue
        # Space at a block's start is none of it.
        if text and (pieces or not text.isspace()):
            pieces.append(text)
            if link:
                links += len(text)
        if tag[1] == "/":
            if around:
                if pieces and not inline:
                    end_block()
                element, region, link, inline = around.pop()
            continue
        if tag.startswith("<a "):
            around.append((element, region, link, inline))
            link = inline = True
            continue
        kind = kinds.get(tag)
        if kind is None:
            kind = kinds[tag] = _kind(tag, layout)
        if kind.name in _VOID:
            if pieces and kind.name in ("br", "hr"):
                end_block()
            continue
        if kind.apart:
            if pieces and not kind.inline:
                end_block()
            apart = 1
            continue
        around.append((element, region, link, inline))
        if kind.inline and not kind.beside:
            if pieces and kind.name in ("td", "th"):
                pieces.append(" ")
            inline = True
            continue
        if pieces:
            end_block()
        parents.append(element)
        tags.append(kind.name)
        element, inline = len(parents) - 1, False
        if kind.body:
            found.bodies.append(element)
        if kind.beside:
            regions.append(region)
            found.marks.append(kind.beside)
            region = len(regions) - 1
    if not apart:
        pieces.append(parts[-1])
    end_block()
    return found


def _without_gone(body: str) -> str:
    """Without comments and elements whose content is no markup; what is not closed stays."""
    kept: list[str] = []
    missing: set[str] = set()
    start = at = 0
    while found := _GONE.search(body, at):
        end = f"</{found[1]}>" if found[1] else "-->"
        stop = -1 if end in missing else body.find(end, found.end())
        if stop < 0:
            missing.add(end)
            at = found.end()
            continue
        kept.append(body[start : found.start()])
        start = at = stop + len(end)
    kept.append(body[start:])
    return "".join(kept)


def _kind(tag: str, layout: bool) -> _Kind:
    name, _, attributes = tag[1:-1].partition(" ")
    # Those with a colon, as `o:p`, are of word processors.
    inline = name in _INLINE or ":" in name
    body = name == "article" or "articleBody" in attributes
    of_layout = frozenset((name,)) & _LAYOUT if layout else frozenset()
    apart = name in _APART and not of_layout
    if attributes and ("hidden" in attributes or "display" in attributes):
        apart = apart or _UNSEEN.search(tag) is not None
    if not attributes or apart or name in _ROOTS:
        return _Kind(name, apart, inline, of_layout, body)
    words = {word.lower() for named in _NAMED.findall(tag) for word in _WORD.findall(named)}
    return _Kind(name, apart, inline, of_layout | (_BESIDE & words), body)
