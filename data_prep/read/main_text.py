"""The main text of a web page: of several ways to find it, the first that finds enough.

1. resiliparse's main content.
2. Where that is tiny: `articleBody` of the page's linked data (JSON-LD), as schema.org has it.
3. Where that is not there either: its paragraphs, without those of navigation, asides and captions.
"""

import re

import orjson
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

# Main text of fewer characters is looked for elsewhere on the page, too.
TINY = 250
# How much more another way must find.
FACTOR = 1.5
MAIN, LINKED, PARAGRAPHS = "main content", "linked data", "paragraphs"
LINKED_DATA = 'script[type="application/ld+json"]'
_BODY = re.compile(r'"articleBody"\s*:\s*("(?:[^"\\\\]|\\\\.)*")', re.DOTALL)
_TAG = re.compile(r"<[^>]{1,200}>")
_NO_PROSE = frozenset(
    ("nav", "footer", "aside", "header", "form", "figcaption", "script", "style", "button")
)
_MOST_ABOVE = 60
_LEAST_PARAGRAPH = 40


def main_text(tree: HTMLTree) -> tuple[str, str]:
    """Text, and the way by which it was found."""
    text = extract_plain_text(
        tree, main_content=True, list_bullets=False, alt_texts=False, comments=False,
        post_meta=False,
    )  # fmt: skip
    if len(text) >= TINY:
        return text, MAIN
    found, way = text, MAIN
    for other, find in ((LINKED, linked_text), (PARAGRAPHS, paragraphs)):
        candidate = find(tree)
        if len(candidate) > max(FACTOR * len(text), _LEAST_PARAGRAPH):
            found, way = candidate, other
            break
    return found, way


def linked_text(tree: HTMLTree) -> str:
    """The longest `articleBody` of the linked data, without markup; empty where there is none."""
    longest = ""
    for node in tree.document.query_selector_all(LINKED_DATA)[:10]:
        for found in _BODY.finditer(node.text or ""):
            try:
                body = orjson.loads(found[1].replace("\n", "\\n").replace("\t", "\\t"))
            except orjson.JSONDecodeError:
                continue
            if len(body) > len(longest):
                longest = body
    if "<" in longest:
        breaks = re.sub(r"</p>|<br ?/?>", "\n", longest)
        longest = _TAG.sub("", breaks)
    lines = (" ".join(line.split()) for line in longest.splitlines())
    return "\n".join(filter(None, lines))


def paragraphs(tree: HTMLTree) -> str:
    """The page's paragraphs that are prose, one a line."""
    body = tree.body
    found = []
    for node in body.get_elements_by_tag_name("p") if body else ():
        line = " ".join((node.text or "").split())
        if len(line) >= _LEAST_PARAGRAPH and not _is_beside(node):
            found.append(line)
    return "\n".join(dict.fromkeys(found))


def _is_beside(node) -> bool:
    for _ in range(_MOST_ABOVE):
        node = node.parent
        if node is None:
            return False
        if node.tag in _NO_PROSE:
            return True
    return False
