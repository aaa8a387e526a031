"""Records that are set aside: why, where they stood, and a file that keeps the account."""

from collections import Counter
from pathlib import Path

import orjson

REASONS = {
    "broken_json": "the line is no JSON",
    "invalid_utf8": "bytes that are no UTF-8: give the source an encoding, such as cp1252",
    "line_too_long": "the line is longer than max_line_bytes",
    "wrong_type": "the record or a field has another type than it must",
    "missing_text": "no field text: fields.text of the source names the one that holds it",
    "empty_text": "text holds only white space",
    "missing_url": "no field url: fields.url of the source names the one that holds it",
    "invalid_url": "the URL cannot be parsed, or has no public host",
    "refused_url_scheme": "the URL is neither http nor https",
    "unknown_country": "country is neither an ISO 3166 code nor an English name",
    "unknown_continent": "continent is none of the five",
    "host_blocked": "the host is in a list of annotate.block_hosts",
    "host_not_allowed": "the host is not in annotate.allow_hosts",
    "opted_out": "the page is in a list of annotate.opt_out",
    "no_country": "neither field, outlet table nor national domain tells the country",
    "country_disagrees": "field, outlet table and national domain name different countries",
    "continent_disagrees": "continent is not that of the country",
    "country_not_listed": "the country is not in countries=[...]",
    "duplicate_id": "an earlier record has the same id",
    "duplicate_content": "an earlier record has the same text",
    "truncated_file": "the file ends before its data do",
    "damaged_file": "the file's bytes are not as its format says",
    "empty_file": "the file holds nothing",
    "record_too_long": "the record is longer than limits.record_bytes",
    "decompression_bomb": "the data expand beyond limits.expansion",
    "nested_compression": "compressed data inside compressed data",
    "unknown_format": "the file is of a format that is not read",
    "broken_header": "the header of the columns cannot be used",
    "broken_csv": "the row has not as many values as the header, or is no CSV",
    "unsafe_member": "a member of an archive is a link, a device or leads out of it",
    "duplicate_member": "two members of an archive are the same field of a record",
    "broken_warc": "bytes of a web archive that are of no record",
    "no_html_page": "a response that is no page: another status, or not HTML",
    "unreadable_body": "a page whose body is not encoded as its header says, and is no text",
    "no_main_text": "a page whose text cannot be extracted",
    "language_not_listed": "the language is not in annotate.languages=[...]",
    "language_uncertain": "the language's score is below annotate.language_score",
    "invalid_quality": "quality is not within 0 and 100",
    "too_short": "the text, as cleaned, has fewer characters than clean.min_characters",
    "too_long": "the text, as cleaned, has more characters than clean.max_characters",
    "now_mask": "the text has NOW's @ @ @ @ @ @ @ @ @ @ for words withheld",
    "gopher_quality.word_count": "not 50 to 100,000 words",
    "gopher_quality.word_length": "the mean word has not 3 to 10 characters",
    "gopher_quality.hashes": "over 0.1 # a word",
    "gopher_quality.ellipses": "over 0.1 ellipses a word",
    "gopher_quality.bullet_lines": "over 90% of lines start with a bullet",
    "gopher_quality.ellipsis_lines": "over 30% of lines end with an ellipsis",
    "gopher_quality.alphabetic_words": "under 80% of words have a letter",
    "gopher_quality.stop_words": "fewer than two of: the be to of and that have with",
    "gopher_repetition.duplicate_lines": "over 30% of lines are duplicates",
    "gopher_repetition.duplicate_line_characters": "over 20% of characters in duplicate lines",
    "gopher_repetition.duplicate_paragraphs": "over 30% of paragraphs are duplicates",
    "gopher_repetition.duplicate_paragraph_characters": "over 20% of characters in such paragraphs",
    "gopher_repetition.top_2_gram": "over 20% of characters in one pair of words",
    "gopher_repetition.top_3_gram": "over 18% of characters in one 3-gram of words",
    "gopher_repetition.top_4_gram": "over 16% of characters in one 4-gram of words",
    "gopher_repetition.duplicate_5_grams": "over 15% of characters in repeated 5-grams",
    "gopher_repetition.duplicate_6_grams": "over 14% of characters in repeated 6-grams",
    "gopher_repetition.duplicate_7_grams": "over 13% of characters in repeated 7-grams",
    "gopher_repetition.duplicate_8_grams": "over 12% of characters in repeated 8-grams",
    "gopher_repetition.duplicate_9_grams": "over 11% of characters in repeated 9-grams",
    "gopher_repetition.duplicate_10_grams": "over 10% of characters in repeated 10-grams",
    "c4.long_words": "no line is left; most have a word of over 1,000 characters",
    "c4.citations": "no line is left; most are marks such as [1]",
    "c4.terminal_punctuation": "no line is left; most end without . ! ? or a quotation mark",
    "c4.line_words": "no line is left; most have fewer than five words",
    "c4.javascript": "no line is left; most name JavaScript",
    "c4.policy": "no line is left; most are of cookies, privacy or terms of use",
    "c4.lorem_ipsum": "a line has lorem ipsum",
    "c4.curly_bracket": "a line has a curly bracket",
    "c4.sentences": "fewer than three sentences are left",
    "fineweb.punctuated_lines": "at most 12% of lines end with punctuation",
    "fineweb.duplicate_line_characters": "at least 10% of characters in duplicate lines",
    "fineweb.short_lines": "at least 67% of lines have at most 30 characters",
}
# What is wrong with a file and not with a record of it: what stands behind is lost, too.
FILE_REASONS = frozenset((
    "truncated_file", "damaged_file", "empty_file", "decompression_bomb", "nested_compression",
    "unknown_format", "broken_header",
))  # fmt: skip
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
