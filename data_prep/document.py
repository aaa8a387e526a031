"""One document on its way: what every stage after reading knows of it."""

from dataclasses import dataclass

# The field that counts what was masked of a kind; now: words that NOW withholds.
MASK_COUNTS = {
    "email": "emails", "ip": "ips", "phone": "phones", "now": "gaps",
    "card": "cards", "iban": "ibans", "national_id": "national_ids",
}  # fmt: skip


@dataclass(slots=True)
class Document:
    """A record in the project's terms; its fields are the columns of a part.

    id: the record's own; the hash in hex where it has none.
    url: normalised, without tracking, fragment and credentials; host: lower case, ASCII.
    domain: registrable domain; path: path and query, with the leading slash.
    country, continent: of the table in geo_nemo.metadata.geography, or its UNKNOWN.
    evidence: what told the country: `field`, `outlet`, `domain`, `likely` or `unknown`.
    confidence: 0 to 1, of the country; see data_prep.annotate.origin.
    language: ISO 639-1, empty where it was not identified; language_score: 0 to 1.
    date: ISO 8601 day, `2024-05-31`, as far as it is known: `2024-05`, `2024` or empty.
    year: that of date; 0 where it is unknown.
    quality: 0 to 100, see data_prep.annotate.quality; or NO_QUALITY.
    source: name of the input source.
    text: normalised; hash: xxh3-128 of its UTF-8, 16 bytes: of the text alone, so that a
        syndicated copy under another title or address is the same content.
    emails, ips, phones, cards, ibans, national_ids: how often title and text say that one was
        masked; gaps: that NOW withheld words. See data_prep.clean.masks.
    fields: of the user's own, by name; see data_prep.annotate.own_fields.
    """

    id: str
    url: str
    host: str
    domain: str
    path: str
    country: str
    continent: str
    evidence: str
    confidence: float
    language: str
    language_score: float
    date: str
    year: int
    quality: int
    source: str
    title: str
    text: str
    hash: bytes
    emails: int = 0
    ips: int = 0
    phones: int = 0
    cards: int = 0
    ibans: int = 0
    national_ids: int = 0
    gaps: int = 0
    fields: dict[str, str] | None = None
