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

from data_prep.read.blocks import Block, Blocks

LEAST_PROSE = 40
# Of what an element weighs, its child must have so much to be the container in its place.
SHARE = 0.75
# A part beside the article is of it where it holds more than this of all prose.
MOST_BESIDE, MOST_NEVER = 0.35, 0.8
# An element that is marked as the article holds at least so much of all prose.
LEAST_MARKED = 0.3
_ENDED = re.compile(r"[.!?…。！？।؟»”\"’)]\s*$")
_HEADING = re.compile(r"h[1-6]$")
_LEAVES = frozenset(("p", "li", "blockquote"))
_ITEMS = frozenset(("li", "tr", "dt", "dd"))
_LINKS_LINE = 200
_ALWAYS = re.compile(
    r"(?:advertisements?|adverts?|continue reading.{0,20}|story continues.{0,30}|read more.{0,3}|"
    r"(?:also read|read also|must read|see also|related)\s*:.{0,150}|"
    r"share this.{0,20}|loading.{0,3}|sponsored.{0,20}|(?:\d+ )?comments?|"
    r"(?:photo|image|picture|credit|source)s?\s*(?:credit|source)?\s*:.*)$",
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
    out = [False] * len(held)
    for region in range(1, len(held)):
        most = (MOST_NEVER if page.never[region] else MOST_BESIDE) * total
        out[region] = out[page.regions[region]] or held[region] <= most
    return out


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
    marked = max(page.bodies, key=within.__getitem__, default=0)
    top = marked if within[marked] > LEAST_MARKED * within[0] else 0
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
