"""The rules that FineWeb adds to others': Penedo et al. 2024, arXiv 2406.17557, section 3.6.

Thresholds are the paper's. The code that made the dataset (datatrove) has 0.01 for the characters
in duplicate lines where the paper has 0.1, and drops lists by a fourth rule that the paper has not.
"""

from typing import ClassVar

from data_prep.clean.rule_filter import Rule, RuleFilter
from data_prep.clean.statistics import TextStatistics
from data_prep.prose import SENTENCE_ENDS

MIN_PUNCTUATED_LINES = 0.12
MAX_DUPLICATE_LINE_CHARACTERS = 0.1
SHORT_LINE_CHARACTERS, MAX_SHORT_LINES = 30, 0.67
TERMINAL = tuple(SENTENCE_ENDS)


def _punctuated_lines(text: TextStatistics) -> str | None:
    fraction = sum(line.rstrip().endswith(TERMINAL) for line in text.lines) / len(text.lines)
    kept = fraction > MIN_PUNCTUATED_LINES
    return None if kept else f"{fraction:.3f} of lines end with punctuation"


def _duplicate_line_characters(text: TextStatistics) -> str | None:
    fraction = text.repeated_lines[1] / sum(map(len, text.lines))
    kept = fraction < MAX_DUPLICATE_LINE_CHARACTERS
    return None if kept else f"{fraction:.3f} of characters are in duplicate lines"


def _short_lines(text: TextStatistics) -> str | None:
    short = sum(len(line) <= SHORT_LINE_CHARACTERS for line in text.lines)
    fraction = short / len(text.lines)
    return None if fraction < MAX_SHORT_LINES else f"{fraction:.3f} of lines are short"


FINEWEB: dict[str, Rule] = {
    "punctuated_lines": _punctuated_lines,
    "duplicate_line_characters": _duplicate_line_characters,
    "short_lines": _short_lines,
}


class FineWeb(RuleFilter):
    """The rules that FineWeb adds."""

    checks = FINEWEB
    reasons: ClassVar = {
        "punctuated_lines": "at most 12% of lines end with punctuation",
        "duplicate_line_characters": "at least 10% of characters in duplicate lines",
        "short_lines": "at least 67% of lines have at most 30 characters",
    }
