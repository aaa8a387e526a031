"""The rules of Gopher's MassiveText: Rae et al. 2021, arXiv 2112.11446, appendix A.1.1.

Thresholds are the paper's; those of repetition are its table A1. A rule drops what is beyond its
threshold, not what is on it. Stop words are compared in lower case. Lists of bullets are meant, so
a minus and an asterisk at a line's start count as bullets too. An n-gram that occurs once repeats
nothing (datatrove's filter counts it, and so drops some texts of a line or two).
"""

from typing import ClassVar

from data_prep.clean.rule_filter import Rule, RuleFilter
from data_prep.clean.statistics import TextStatistics
from data_prep.prose import STOP_WORDS

MIN_WORDS, MAX_WORDS = 50, 100_000
MIN_WORD_LENGTH, MAX_WORD_LENGTH = 3, 10
MAX_SYMBOLS_PER_WORD = 0.1
MAX_BULLET_LINES, MAX_ELLIPSIS_LINES = 0.9, 0.3
MIN_ALPHABETIC_WORDS = 0.8
MIN_STOP_WORDS = 2
BULLETS = ("•", "‣", "▪", "●", "○", "-", "*")
ELLIPSES = ("...", "…")
MAX_DUPLICATE_LINES = MAX_DUPLICATE_PARAGRAPHS = 0.30
MAX_DUPLICATE_LINE_CHARACTERS = MAX_DUPLICATE_PARAGRAPH_CHARACTERS = 0.20
MAX_TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}
MAX_DUPLICATE_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def _word_count(text: TextStatistics) -> str | None:
    count = len(text.plain_words)
    return None if MIN_WORDS <= count <= MAX_WORDS else f"{count} words"


def _word_length(text: TextStatistics) -> str | None:
    words = text.plain_words
    mean = sum(map(len, words)) / len(words) if words else 0.0
    in_range = MIN_WORD_LENGTH <= mean <= MAX_WORD_LENGTH
    return None if in_range else f"{mean:.2f} characters a word"


def _hashes(text: TextStatistics) -> str | None:
    return _above(text.text.count("#") / len(text.words), MAX_SYMBOLS_PER_WORD, "# a word")


def _ellipses(text: TextStatistics) -> str | None:
    count = sum(text.text.count(mark) for mark in ELLIPSES)
    return _above(count / len(text.words), MAX_SYMBOLS_PER_WORD, "ellipses a word")


def _bullet_lines(text: TextStatistics) -> str | None:
    count = sum(line.lstrip().startswith(BULLETS) for line in text.lines)
    return _above(count / len(text.lines), MAX_BULLET_LINES, "of lines start with a bullet")


def _ellipsis_lines(text: TextStatistics) -> str | None:
    count = sum(line.rstrip().endswith(ELLIPSES) for line in text.lines)
    return _above(count / len(text.lines), MAX_ELLIPSIS_LINES, "of lines end with an ellipsis")


def _alphabetic_words(text: TextStatistics) -> str | None:
    count = sum(word.isalpha() or any(map(str.isalpha, word)) for word in text.words)
    fraction = count / len(text.words)
    return None if fraction >= MIN_ALPHABETIC_WORDS else f"{fraction:.3f} of words have a letter"


def _stop_words(text: TextStatistics) -> str | None:
    found = {word.lower() for word in text.words}.intersection(STOP_WORDS)
    return None if len(found) >= MIN_STOP_WORDS else f"{len(found)} of the eight stop words"


def _duplicate_lines(text: TextStatistics) -> str | None:
    fraction = text.repeated_lines[0] / len(text.lines)
    return _above(fraction, MAX_DUPLICATE_LINES, "of lines are duplicates")


def _duplicate_line_characters(text: TextStatistics) -> str | None:
    fraction = text.repeated_lines[1] / len(text.text)
    return _above(fraction, MAX_DUPLICATE_LINE_CHARACTERS, "of characters are in duplicate lines")


def _duplicate_paragraphs(text: TextStatistics) -> str | None:
    fraction = text.repeated_paragraphs[0] / len(text.paragraphs)
    return _above(fraction, MAX_DUPLICATE_PARAGRAPHS, "of paragraphs are duplicates")


def _duplicate_paragraph_characters(text: TextStatistics) -> str | None:
    fraction = text.repeated_paragraphs[1] / len(text.text)
    what = "of characters are in duplicate paragraphs"
    return _above(fraction, MAX_DUPLICATE_PARAGRAPH_CHARACTERS, what)


def _top_ngram(n: int) -> Rule:
    what = f"of characters are in one {n}-gram"
    return lambda text: _above(text.top_ngram(n), MAX_TOP_NGRAM[n], what)


def _duplicate_ngrams(n: int) -> Rule:
    what = f"of characters are in duplicate {n}-grams"
    return lambda text: _above(text.repeated_ngrams(n), MAX_DUPLICATE_NGRAMS[n], what)


def _above(value: float, limit: float, what: str) -> str | None:
    return f"{value:.3f} {what}" if value > limit else None


QUALITY: dict[str, Rule] = {
    "word_count": _word_count,
    "word_length": _word_length,
    "hashes": _hashes,
    "ellipses": _ellipses,
    "bullet_lines": _bullet_lines,
    "ellipsis_lines": _ellipsis_lines,
    "alphabetic_words": _alphabetic_words,
    "stop_words": _stop_words,
}
REPETITION: dict[str, Rule] = {
    "duplicate_lines": _duplicate_lines,
    "duplicate_line_characters": _duplicate_line_characters,
    "duplicate_paragraphs": _duplicate_paragraphs,
    "duplicate_paragraph_characters": _duplicate_paragraph_characters,
    **{f"top_{n}_gram": _top_ngram(n) for n in MAX_TOP_NGRAM},
    **{f"duplicate_{n}_grams": _duplicate_ngrams(n) for n in MAX_DUPLICATE_NGRAMS},
}


class GopherQuality(RuleFilter):
    """The rules of quality."""

    checks = QUALITY
    reasons: ClassVar = {
        "word_count": "not 50 to 100,000 words",
        "word_length": "the mean word has not 3 to 10 characters",
        "hashes": "over 0.1 # a word",
        "ellipses": "over 0.1 ellipses a word",
        "bullet_lines": "over 90% of lines start with a bullet",
        "ellipsis_lines": "over 30% of lines end with an ellipsis",
        "alphabetic_words": "under 80% of words have a letter",
        "stop_words": "fewer than two of: the be to of and that have with",
    }


class GopherRepetition(RuleFilter):
    """The rules of repetition."""

    checks = REPETITION
    reasons: ClassVar = {
        "duplicate_lines": "over 30% of lines are duplicates",
        "duplicate_line_characters": "over 20% of characters in duplicate lines",
        "duplicate_paragraphs": "over 30% of paragraphs are duplicates",
        "duplicate_paragraph_characters": "over 20% of characters in such paragraphs",
        "top_2_gram": "over 20% of characters in one pair of words",
        "top_3_gram": "over 18% of characters in one 3-gram of words",
        "top_4_gram": "over 16% of characters in one 4-gram of words",
        "duplicate_5_grams": "over 15% of characters in repeated 5-grams",
        "duplicate_6_grams": "over 14% of characters in repeated 6-grams",
        "duplicate_7_grams": "over 13% of characters in repeated 7-grams",
        "duplicate_8_grams": "over 12% of characters in repeated 8-grams",
        "duplicate_9_grams": "over 11% of characters in repeated 9-grams",
        "duplicate_10_grams": "over 10% of characters in repeated 10-grams",
    }
