"""Records that are set aside: why, where they stood, and a file that keeps the account."""

from collections import Counter
from pathlib import Path

import orjson

REASONS = {
    "broken_json": "the line is no JSON",
    "invalid_utf8": "the line is no UTF-8",
    "line_too_long": "the line is longer than max_line_bytes",
    "wrong_type": "the record or a field has another type than it must",
    "missing_text": "no field text",
    "empty_text": "text holds only white space",
    "missing_url": "no field url",
    "invalid_url": "the URL cannot be parsed, or has no public host",
    "refused_url_scheme": "the URL is neither http nor https",
    "unknown_country": "country is no ISO 3166 alpha-2 code",
    "unknown_continent": "continent is none of the five",
    "no_country": "neither field, outlet table nor national domain tells the country",
    "country_disagrees": "field, outlet table and national domain name different countries",
    "continent_disagrees": "continent is not that of the country",
    "country_not_listed": "the country is not in countries=[...]",
    "duplicate_id": "an earlier record has the same id",
    "duplicate_content": "an earlier record has the same text",
    "truncated_file": "the file ends in the middle of its compressed data",
    "damaged_file": "the file's compressed data are damaged",
    "empty_file": "the file holds nothing",
    "language_not_listed": "the language is not in annotate.languages=[...]",
    "language_uncertain": "the language's score is below annotate.language_score",
    "invalid_quality": "quality is not within 0 and 100",
}
EXCERPT_BYTES = 300


class Rejected(Exception):
    """A record that cannot be used; `reason` is a key of REASONS."""

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Quarantine:
    """Appends to `quarantine.jsonl` and counts by reason."""

    def __init__(self, path: Path):
        self.counts: Counter[str] = Counter()
        self._file = path.open("wb")

    def add(self, reason: str, file: str, line: int, detail: str, record: bytes = b"") -> None:
        """Keep one record's reason, file, line number (from 1; 0 is the file) and first bytes."""
        assert reason in REASONS, reason
        self.counts[reason] += 1
        entry = {
            "reason": reason,
            "file": file,
            "line": line,
            "detail": detail[:EXCERPT_BYTES],
            "excerpt": record[:EXCERPT_BYTES].decode("utf-8", "replace"),
        }
        self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        self._file.close()
