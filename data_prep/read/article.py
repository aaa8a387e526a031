"""The article of a page: which of its blocks are the text.

1. A block weighs as much as it looks like prose: long, ended as sentences are, not made of links.
2. What the page marks as beside the article (comments, related, newsletter, caption) weighs
   nothing, unless it holds most of the page's prose: then the mark means something else.
3. From the page down, the child that holds nearly all of what its parent weighs is taken, as long
   as there is one: the article's container. A container that the page itself marks as the article
   is where that begins.
4. In it, headings of the page, lines that are links, and lines that every page has are left out.

What is summed up by container, and links as the sign of what is no text, are of Boilerpipe
(Kohlschuetter et al., WSDM 2010) and Readability; the numbers are chosen on half of the public
article-extraction-benchmark (`benchmarks prep extraction_f1` tells both halves).
"""

import re

from data_prep.read.blocks import NEVER, Block, Blocks

LEAST_PROSE = 40
# Of what an element weighs, its child must have so much to be the container in its place.
SHARE = 0.75
# A part beside the article is of it where it holds more than this of all prose.
MOST_BESIDE, MOST_NEVER = 0.35, 0.8
# Where less than this of a page's prose is left, marks that hold so much of it mean its article.
LEAST_LEFT, MOST_MARKED = 0.25, 0.5
# An element that is marked as the article holds at least so much of all prose.
LEAST_MARKED = 0.3
# Marks of lists, which hold the starts of many other articles.
_OF_OTHERS = frozenset(
    ("author", "bio", "hidden", "more", "most", "next", "popular", "prev", "profile", "promo",
     "recirc", "recommend", "recommended", "sidebar", "summary", "tag", "tags", "teaser", "teasers",
     "trending", "widget", "widgets")
)  # fmt: skip
_ENDED = re.compile(r"[.!?…。！？।؟»”\"’)]\s*$")
_HEADING = re.compile(r"h[1-6]$")
_LEAVES = frozenset(("p", "li", "blockquote"))
_ITEMS = frozenset(("li", "tr", "dt", "dd"))
_LINKS_LINE = 200
# Lines that stand in any article of a site, whole; in the languages of many of them.
_OF_MORE = (
    r"also read|read also|must read|see also|related|lesen sie (?:auch|mehr)|auch interessant|"
    r"mehr zum thema|(?:à )?lire aussi|l[eé][ae] también|para saber más|leia (?:também|mais)|"
    r"leggi anche|lees ook|czytaj (?:też|także)|baca juga|les også|läs också|ayrıca okuyun"
)
_ALWAYS = re.compile(
    r"(?:advertisements?|adverts?|anzeige|werbung|publicité|publicidade?|pubblicità|advertentie|"
    r"reklam[ae]?|iklan|continue reading.{0,20}|story continues.{0,30}|"
    r"article continues below.{0,20}|read more.{0,3}|"
    rf"(?:{_OF_MORE})\s*:.{{0,150}}|(?:{_OF_MORE})\s*|"
    r"share this.{0,20}|loading.{0,3}|sponsored.{0,20}|(?:\d+ )?comments?|"
    r"(?:photo|image|picture|credit|source|foto|bild(?:rechte|quelle)?|quelle)s?"
    r"\s*(?:credit|source)?\s*:.*|"
    r"(?:getty(?: images)?|reuters|afp|epa)(?:[ /](?:getty(?: images)?|reuters|afp|epa))*)$",
    re.IGNORECASE,
)


def article(page: Blocks) -> str:
    """The text of the article, a line a block, with blank ones between its paragraphs.

    Empty where the page has no prose.
    """
    weights = [_weight(block) for block in page.blocks]
    beside = _beside(page, weights)
    within = [0.0] * len(page.parents)
    for block, weight in zip(page.blocks, weights, strict=True):
        if not beside[block.region]:
            within[block.element] += weight
    _sum_up(within, page.parents)
    top = _container(page, within)
    above = set(_above(page, top))
    inside = [False] * len(page.parents)
    inside[top] = True
    for element in range(top + 1, len(inside)):
        inside[element] = inside[page.parents[element]]
    lines = []
    for block, weight in zip(page.blocks, weights, strict=True):
        if beside[block.region]:
            continue
        # Paragraphs that stand right beside the container are its first ones, as a rule.
        stray = weight and block.tag == "p" and page.parents[block.element] in above
        if (inside[block.element] or stray) and not _is_no_text(block):
            lines.append(block)
    while lines and _HEADING.match(lines[-1].tag):
        lines.pop()
    return _joined(lines)


def _joined(lines: list[Block]) -> str:
    """Their text; a blank line stands between them, but not within breaks, lists and tables."""
    pieces = []
    for before, block in zip([None, *lines], lines, strict=False):
        if before is not None:
            near = block.element == before.element or (block.tag in _ITEMS and before.tag in _ITEMS)
            pieces.append("\n" if near else "\n\n")
        pieces.append(block.text)
    return "".join(pieces)


def _weight(block: Block) -> float:
    size = len(block.text)
    if size < LEAST_PROSE or block.links > size / 2 or _HEADING.match(block.tag):
        return 0
    weight = float(size - block.links)
    if block.tag != "p":
        weight /= 2
    return weight if _ENDED.search(block.text) else weight / 2


def _beside(page: Blocks, weights: list[float]) -> list[bool]:
    """Which regions are not of the article."""
    held = [0.0] * len(page.regions)
    for block, weight in zip(page.blocks, weights, strict=True):
        held[block.region] += weight
    total = sum(held)
    _sum_up(held, page.regions)
    out = _small(page, held, total, frozenset())
    left = sum(w for block, w in zip(page.blocks, weights, strict=True) if not out[block.region])
    if left < LEAST_LEFT * total and (marks := _marks_of_article(page, held, total)):
        return _small(page, held, total, marks)
    return out


def _small(page: Blocks, held: list[float], total: float, of_article: frozenset[str]) -> list[bool]:
    """Regions that hold little, or stand in one that does, but for those with these marks alone."""
    out = [False] * len(held)
    for region in range(1, len(held)):
        marks = page.marks[region]
        most = (MOST_BESIDE if NEVER.isdisjoint(marks) else MOST_NEVER) * total
        small = held[region] <= most and not marks <= of_article
        out[region] = out[page.regions[region]] or small
    return out


def _marks_of_article(page: Blocks, held: list[float], total: float) -> frozenset[str]:
    """Words whose regions together hold most of the page's prose: where each paragraph is marked
    as `paywall`, or each chapter as of the `toc`, the mark tells of the article itself."""
    by_mark: dict[str, float] = {}
    around: list[frozenset[str]] = [frozenset()]
    for region in range(1, len(held)):
        outer = around[page.regions[region]]
        for mark in page.marks[region] - outer:
            by_mark[mark] = by_mark.get(mark, 0) + held[region]
        around.append(outer | page.marks[region])
    found = frozenset(m for m, size in by_mark.items() if size > MOST_MARKED * total)
    return found - NEVER - _OF_OTHERS


def _sum_up(values: list[float], parents: list[int]) -> None:
    """Add to each entry those below it; an entry stands behind its parent."""
    for number in range(len(values) - 1, 0, -1):
        values[parents[number]] += values[number]


def _container(page: Blocks, within: list[float]) -> int:
    heaviest: dict[int, int] = {}
    for element in range(1, len(within)):
        rival = heaviest.get(page.parents[element])
        if rival is None or within[element] > within[rival]:
            heaviest[page.parents[element]] = element
    # Of several articles the first: pages go on with others, which may be longer.
    top = next((each for each in page.bodies if within[each] > LEAST_MARKED * within[0]), 0)
    while (child := heaviest.get(top)) is not None:
        held = within[child]
        if not held or held < SHARE * within[top] or page.tags[child] in _LEAVES:
            break
        top = child
    return top


def _above(page: Blocks, element: int) -> list[int]:
    """The elements around one, without the page itself."""
    found = []
    while (element := page.parents[element]) > 0:
        found.append(element)
    return found


def _is_no_text(block: Block) -> bool:
    size = len(block.text)
    return (
        block.tag == "h1"
        or (block.links > 0.6 * size and size < _LINKS_LINE)
        or _ALWAYS.match(block.text) is not None
        # Markup that a page shows by mistake.
        or block.text.startswith("<")
    )
