"""Titles as pages and files give them: without the site's name, and not twice.

Title and body are separate losses of a training: the title again at the start of the body tells
nothing new. What stands above that line (a section) and right below it (byline, date, caption) goes
with it.
"""

import re
from html import unescape
from unicodedata import normalize

from data_prep.annotate.dates import MONTH_NAMES
from geo_nemo.metadata.geography import country_code

MOST_LINES, MOST_WORDS = 8, 16
MOST_BEFORE = 6
LONGEST = 2000  # characters; what is longer is no title, and stays as it is
_SEPARATOR = re.compile(
    r"\s+[*|\u2013\u2014\u00b7\u00bb:•-]\s+|\s*[|\u00bb\uff5c\u4e28\u3163\uff1a]\s*|\s+::\s+"
    r"|(?<=\S)[_-](?=[^\x00-\x7f])"
)
_BEFORE_COLON = re.compile(r"([^:|]{3,40}):\s+(?=\S)")
_LETTERS = re.compile(r"[^\W_]+")
# Where a word begins without white space: `BBCSport`, `FoxNews`.
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_MONTH = rf"(?:{'|'.join(sorted(MONTH_NAMES, reverse=True))})\.?"
# Not before the end of a sentence; `a.m.` ends none.
_NO_SENTENCE = r"(?!.*[^\W\d_]{2}[.!?…]$)"
# Behind a word that stands alone, or before what it tells: prose goes on with another word.
_ALONE = rf"\s*(?:$|[:|·•/(\u2013\u2014]|(?<=\s)-|,\s*\d|,{_NO_SENTENCE})"
_ABOUT = re.compile(
    rf"(?:published|updated|posted|last (?:updated|modified)|first published|date|created){_ALONE}"
    rf"|(?:published|updated|posted|last (?:updated|modified)|first published)\s+"
    rf"(?:(?:on|at|today|yesterday)\b|(?:by|in)\b{_NO_SENTENCE}|\d|{_MONTH}\s|"
    rf"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\b)"
    rf"|(?:file )?(?:photo|image|picture|pic|foto|credit|source|caption|illustration)s?"
    rf"(?: (?:credit|source|courtesy|by|from|caption)s?\b|{_ALONE})"
    rf"|(?:share|save|listen|print|copy link|e-?mail|facebook|twitter|x(?!\s*\()|whatsapp|telegram|"
    rf"linkedin|reddit|pinterest|comments?|tweet|highlights|just now|advertisement|"
    rf"subscribe){_ALONE}"
    r"|(?:share|listen|print|save|tweet|comment) (?:this|article|story|link)\b"
    rf"|(?:share|listen|print|save|tweet|comment) (?:on|via|to|with)\b{_NO_SENTENCE}"
    rf"|advertisement\b{_NO_SENTENCE}|subscribe (?:to|now|today|for|here)\b"
    r"|follow us (?:on|at)\b|follow us$"
    r"|read (?:more|also|next|full)\b|(?:also|must)[ -]read\b|see also\b|related(?: \w+)?:"
    r"|reading time\b|\d+\s+(?:comments?|shares?|views?|likes?)$"
    rf"|\d+\s+(?:min(?:ute)?s?|hours?|days?|weeks?)(?: (?:read|ago)\b{_NO_SENTENCE}|{_ALONE})"
    rf"|(?:mon|tues|wednes|thurs|fri|satur|sun)day(?:{_ALONE}|,?\s+(?:\d|{_MONTH}\s))"
    rf"|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?(?:\s+\d|{_ALONE})"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH}(?:\s+\d|{_ALONE})"
    r"|\d{4}-\d{2}-\d{2}|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}"
    r"|\d{1,2}[:.]\d{2}\s?(?:[ap]\.?m\b|(?-i:[A-Z]{2,4})\b|$)",
    re.IGNORECASE,
)
# Who took a picture, at the end of what it shows.
_CREDIT = re.compile(
    r"\((?i:(?:file )?(?:photo|picture|image))[^()]{0,60}\)$"
    r"|[.|/(\[]\s*(?:AFP|AP|Getty|Reuters|EPA|Shutterstock|(?i:file(?: photo| picture)?))"
    r"(?:[/ ](?:AFP|AP|Getty|Images|Photo|Reuters|Shutterstock))*[)\]]?$"
)
_BY = re.compile(
    r"(?:(?:words|written|reported|text|story|photos?|edited) by|"
    r"by|von|par|por|di|door|av|af|oleh):?\s+(?=\S)",
    re.IGNORECASE,
)
# Words of bylines beside names.
_BESIDE_NAMES = frozenset((
    "and", "with", "in", "at", "of", "for", "the", "de", "la", "le", "du", "da", "dos", "van",
    "der", "den", "bin", "al", "el", "von", "zu", "und", "et", "y", "e", "avec", "correspondent",
    "reporter", "editor", "staff", "writer", "agencies", "agency", "admin", "our", "special",
    "senior", "political", "business", "sports", "foreign",
))  # fmt: skip
_LONGEST_NAME = 80
_MOST_AUTHORS = 2  # whose names stand one below another
_NO_NAMES = frozenset(("", "www", "com", "co", "org", "net"))
# Ends of names of hosts, as of premiumtimesng.com.
_COUNTRIES = ("ng", "ke", "za", "gh", "ug", "tz", "zw", "zm", "pk", "bd", "lk", "ph", "uk", "nz")
# Signs before the name of a site, with white space.
_BEFORE_SITE = " \t|\u2013\u2014\u00b7\u00bb\u203a\u2039<>:\uff1a\u3163\u2022~/*\u22c6\u2605(-"
# Parts of a site, which stand between a title and the site's name.
_SECTIONS = frozenset((
    "news", "politics", "sport", "sports", "world", "business", "opinion", "local", "national",
    "entertainment", "lifestyle", "technology", "tech", "health", "education", "metro", "culture",
    "economy", "money", "travel", "science", "environment", "football", "cricket", "africa",
    "international", "editorial", "features", "crime", "analysis", "breakingnews", "latestnews",
    "정치", "경제", "사회", "국제", "문화", "스포츠",
    "国际", "社会", "经济", "政治", "経済", "国際",
))  # fmt: skip
_LABEL = re.compile(r"[^\W\d_]{3,12}(?: [^\W\d_]{2,12})?:\s+(?=\S)")
_ENDS = (".", "!", "?", "…", '."', ".”", "?”", "!”", "。", "।", "؟")


def without_site(title: str, site: str = "", host: str = "", heading: str = "") -> str:
    """`title` without the outlet's name at its end, or its start.

    site: what the page calls its site. host: of its URL. heading: of the page, which may confirm
    that what stands beside it is no part of the title.
    """
    labels = {_key(label) for label in host.split(".")[:-1]}
    labels |= {label[:-2] for label in labels if len(label) > 7 and label.endswith(_COUNTRIES)}
    names = {name.removeprefix("the") for name in (_key(site), *labels)} - _NO_NAMES
    whole = (_key(site), _key(host.removeprefix("www.")))
    given, title = title, _without_ending(title, site)
    cut = title != given
    while len(title) <= LONGEST:
        first = _BEFORE_COLON.match(title)
        # A colon parts much else: only the whole name, or the host, is one.
        if first and _key(first[1]) in whole:
            return title[first.end() :]
        parts = [(m.start(), m.end()) for m in _SEPARATOR.finditer(title)]
        if not parts:
            return title
        start, end = parts[-1]
        is_name = _is_name(title[end:], names) or (cut and _is_section(title[end:]))
        if is_name or (heading and _key(title[:start]) == _key(heading)):
            if not (rest := title[:start].strip()):
                return title
            title, cut = rest, True  # a section may stand before the name, and the name twice
            continue
        start, end = parts[0]
        if _is_name(title[:start], names, first=True) or (
            heading and _key(title[end:]) == _key(heading)
        ):
            return title[end:].strip() or title
        # What a site says of itself, or a date, may stand behind its name.
        ends = [start for start, _ in parts[1:]]
        between = zip(parts, ends, strict=False)
        named = (a for (a, b), c in between if _is_name(title[b:c], names, whole=True))
        return title[: next(named, len(title))].strip() or title
    return title


def _without_ending(title: str, site: str) -> str:
    """`title` without the whole name of the site behind a sign that seldom stands in titles."""
    if (
        not site
        or len(title) > LONGEST
        or not title.casefold().rstrip(")").endswith(site.casefold())
    ):
        return title
    rest = title.rstrip(")")[: -len(site)]
    short = rest.rstrip(_BEFORE_SITE)
    sign = rest[len(short) :]
    # White space alone parts nothing, nor does a hyphen or a slash within a word.
    return short if short and sign.strip() and sign not in ("-", "/") else title


def without_title(text: str, title: str) -> str:
    """`text` without a repetition of `title` in its first lines, and what stands around that."""
    wanted = _key(title)
    if len(wanted) < 8:
        return text
    lines = text.split("\n", MOST_LINES)
    place = _place_of(lines[:MOST_LINES], wanted)
    if not place:
        return text
    place += _about_below(lines[place:MOST_LINES], wanted)
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
    before = ""
    for place, line in enumerate(lines, start=1):
        # Runs of white space take a search for separators the square of their length.
        start = " ".join(line[:LONGEST].split())
        parts = _SEPARATOR.split(_LABEL.sub("", start, count=1))
        if _same(_key(line), title) or title in (_key(parts[0]), _key(parts[-1])):
            return place
        # A title that was broken into two lines.
        both = _key(before + " " + start)
        if before and both == title:
            return place
        if _is_prose(line):
            return 0
        before = start
    return 0


def _about_below(lines: list[str], title: str) -> int:
    """How many of the lines below a title tell about it; more names than of authors are a list."""
    place, names = 0, []
    for line in lines:
        if not _is_about(line, title):
            if not _is_person(line):
                break
            names.append(place)
        place += 1
    return place if len(names) <= _MOST_AUTHORS else names[0]


def _key(text: str) -> str:
    return "".join(_LETTERS.findall(_plain(text)))


def _plain(text: str) -> str:
    """`text` as it is compared."""
    if "&" in text:
        text = unescape(text)
    if not text.isascii():
        text = normalize("NFKC", text)
    return text.casefold()


def _is_name(part: str, names: set[str], whole: bool = False, first: bool = False) -> bool:
    """Whether a part of a title is one of the names, or, but where `whole`, begins with one.

    first: it stands first, where it is no shorter form of a name: `Israel - Hamas talks` of
        israelhayom.com.
    """
    key = _key(part).removeprefix("www").removeprefix("the")
    if whole or key in names:
        return key in names
    initials = "".join(word[0] for word in _LETTERS.findall(part.casefold()))
    if len(initials) > 2 and initials in names:
        return True  # South China Morning Post of scmp.com
    # `BBC News` of bbc.com, `The Star` of the-star.co.ke.
    if any(len(name) > 2 and _begins(part, key, name) for name in names):
        return True
    short = len(key) > 4 and not first and any(name.startswith(key) for name in names)
    return short and country_code(part.strip()) is None


def _begins(part: str, key: str, name: str) -> bool:
    """Whether a part begins with a name and says little more; a name of ASCII ends with a word:
    `Sunak` does not begin with the Sun, but `CNNPolitics` with CNN."""
    if not key.startswith(name) or len(key) >= len(name) + 9:
        return False
    ends = {len(key)}
    for word in reversed(_LETTERS.findall(_plain(_HUMP.sub(" ", part)))):
        ends.add(min(ends) - len(word))
    return not name.isascii() or len(name) in ends


def _is_section(part: str) -> bool:
    words = part.split()
    return len(words) < 3 and _key(words[-1] if words else "") in _SECTIONS


def _same(line: str, title: str) -> bool:
    if line == title:
        return True
    short, long = sorted((line, title), key=len)
    return len(short) > 0.75 * len(long) and (long.startswith(short) or long.endswith(short))


def _is_prose(line: str) -> bool:
    line = line.strip()
    return len(line.split()) > MOST_WORDS or (len(line) > 60 and line.endswith(_ENDS))


def _is_about(line: str, title: str) -> bool:
    """Whether a line below a title is blank, the title again, a byline, a date or a caption."""
    line = line.strip()
    if not line or (title and _same(_key(line), title)):
        return True
    if _is_prose(line):
        return False
    return bool(_ABOUT.match(line) or _CREDIT.search(line)) or _is_byline(line)


def _is_byline(line: str) -> bool:
    """`By Jane Doe in Nairobi`; `By Tuesday the water had gone` is none."""
    found = _BY.match(line)
    if found is None:
        return False
    words = [word.strip("(),.|-") for word in line[found.end() :].split()]
    if words[0] in ("admin", "staff"):
        return True
    small = (word for word in words if word[:1].islower())
    return words[0][:1].isupper() and all(word in _BESIDE_NAMES for word in small)


def _is_person(line: str) -> bool:
    """Whether a line below a title is a name, as of an author, perhaps with a place or a role."""
    if len(line) > _LONGEST_NAME or line.rstrip().endswith(_ENDS):
        return False
    name, *rest = re.split("[|,]", line, maxsplit=1)
    words = name.split()
    return (
        2 <= len(words) <= 3
        and len("".join(rest).split()) <= 4
        and all(word[:1].isupper() and word[-1:].isalpha() for word in words)
    )
