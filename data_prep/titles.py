"""Titles as pages and files give them: without the site's name, and not twice.

Title and body are separate losses of a training: the title again at the start of the body tells
nothing new. What stands above that line (a section) and right below it (byline, date, caption) goes
with it.
"""

import re

MOST_LINES, MOST_WORDS = 8, 16
MOST_BEFORE = 6
LONGEST = 2000  # characters; what is longer is no title, and stays as it is
_SEPARATOR = re.compile(
    r"\s+[|\u2013\u2014\u00b7\u00bb:•-]\s+|\s*[|\u00bb\uff5c\u4e28]\s*|\s+::\s+|(?<=\S)_(?=[^\x00-\x7f])"
)
_BEFORE_COLON = re.compile(r"([^:|]{3,40}):\s+(?=\S)")
_LETTERS = re.compile(r"[^\W_]+")
_ABOUT = re.compile(
    r"(?:by|von|par|por|di|door|av|af|oleh|words by|written by|reported by|text by)\s+\S"
    r"|(?:published|updated|posted|last (?:updated|modified)|first published|date|created)\b"
    r"|(?:photo|image|picture|file photo|pic|foto|credit|source|caption|illustration)\b"
    r"|(?:share|save|listen|print|comments?|advertisement|subscribe|follow us|read more|tweet)\b"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d{1,2}\b"
    r"|\d{1,2}(?:st|nd|rd|th)?\s+(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    r"|\d{4}-\d{2}-\d{2}|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|\d+\s+(?:min(?:ute)?s?|hours?|days?)\b",
    re.IGNORECASE,
)
_ENDS = (".", "!", "?", "…", '."', ".”", "?”", "!”", "。", "।", "؟")


def without_site(title: str, site: str = "", host: str = "", heading: str = "") -> str:
    """`title` without the outlet's name at its end, or its start.

    site: what the page calls its site. host: of its URL. heading: of the page, which may confirm
    that what stands beside it is no part of the title.
    """
    labels = {_key(label) for label in host.split(".")[:-1]}
    names = {_key(site), *labels} - {"", "www", "com", "co", "org", "net"}
    whole = (_key(site), _key(host.removeprefix("www.")))
    while len(title) <= LONGEST:
        first = _BEFORE_COLON.match(title)
        # A colon parts much else: only the whole name, or the host, is one.
        if first and _key(first[1]) in whole:
            return title[first.end() :]
        parts = [(m.start(), m.end()) for m in _SEPARATOR.finditer(title)]
        if not parts:
            return title
        start, end = parts[-1]
        if _is_name(title[end:], names) or (heading and _key(title[:start]) == _key(heading)):
            if not (rest := title[:start].strip()):
                return title
            title = rest  # a section may stand before the name, and the name twice
            continue
        start, end = parts[0]
        if _is_name(title[:start], names) or (heading and _key(title[end:]) == _key(heading)):
            return title[end:].strip() or title
        return title
    return title


def without_title(text: str, title: str) -> str:
    """`text` without a repetition of `title` in its first lines, and what stands around that."""
    wanted = _key(title)
    if len(wanted) < 8:
        return text
    lines = text.split("\n", MOST_LINES)
    place = _place_of(lines[:MOST_LINES], wanted)
    if not place:
        return text
    while place < min(len(lines), MOST_LINES) and _is_about(lines[place], wanted):
        place += 1
    rest = "\n".join(lines[place:]).strip()
    # A page that is its title alone keeps it.
    return rest or text


def without_byline(text: str) -> str:
    """`text` without the lines before its first that tell its author, day or picture."""
    lines = text.split("\n", MOST_BEFORE)
    place = 0
    while place < min(len(lines) - 1, MOST_BEFORE) and _is_about(lines[place], ""):
        place += 1
    return "\n".join(lines[place:])


def _place_of(lines: list[str], title: str) -> int:
    """How many lines there are up to the title's; 0 where prose stands before it, or it is not."""
    for place, line in enumerate(lines, start=1):
        # Runs of white space take a search for separators the square of their length.
        start = " ".join(line[:LONGEST].split())
        if _same(_key(line), title) or _key(_SEPARATOR.split(start, maxsplit=1)[0]) == title:
            return place
        if _is_prose(line):
            return 0
    return 0


def _key(text: str) -> str:
    return "".join(_LETTERS.findall(text.casefold()))


def _is_name(part: str, names: set[str]) -> bool:
    key = _key(part)
    initials = "".join(word[0] for word in _LETTERS.findall(part.casefold()))
    if len(initials) > 2 and initials in names:
        return True  # South China Morning Post of scmp.com
    # `BBC News` of bbc.com, `The Star` of the-star.co.ke.
    return bool(key) and any(
        key == name
        or (len(name) > 2 and key.startswith(name) and len(key) < len(name) + 9)
        or (len(key) > 4 and name.startswith(key))
        for name in names
    )


def _same(line: str, title: str) -> bool:
    if line == title:
        return True
    short, long = sorted((line, title), key=len)
    return len(short) > 0.75 * len(long) and long.startswith(short)


def _is_prose(line: str) -> bool:
    line = line.strip()
    return len(line.split()) > MOST_WORDS or (len(line) > 60 and line.endswith(_ENDS))


def _is_about(line: str, title: str) -> bool:
    """Whether a line below a title is blank, the title again, a byline, a date or a caption."""
    line = line.strip()
    if not line or (title and _same(_key(line), title)):
        return True
    if len(line.split()) > MOST_WORDS or (len(line) > 60 and line.endswith(_ENDS)):
        return False
    return bool(_ABOUT.match(line))
