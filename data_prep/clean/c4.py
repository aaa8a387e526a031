"""The rules of C4: Raffel et al. 2020, JMLR 21(140), section 2.2, and its code in TFDS.

First lines go (`long_words` of the code alone, `terminal_punctuation`, `line_words`, `javascript`,
`policy`) and Wikipedia's marks (`citations`), then documents (`lorem_ipsum`, `curly_bracket`, which
look at lines in the code's order, and `sentences`). Not here: the list of bad words, which is
licensed apart, and the deduplication of three sentences, which is that of a later stage.

Differences: a closing typographic quotation mark ends a line too, and sentences are counted by
their ends with a few abbreviations set aside, where the code asks NLTK's punkt.
"""

import re
from collections import Counter
from collections.abc import Collection
from typing import ClassVar

from data_prep.clean.filter import Drop
from data_prep.clean.statistics import TextStatistics
from data_prep.document import Document

MIN_WORDS_OF_LINE, MIN_SENTENCES, MAX_WORD_CHARACTERS = 5, 3, 1000
END_MARKS = (".", "?", "!", '"', "”")
ELLIPSIS = "..."
POLICY = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
    "use cookies",
)  # fmt: skip
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_SENTENCE_END = re.compile(r"""[.!?]+["'”’)\]]*(?=\s+["'“‘(\[]*[^\W_a-z]|\s*\Z)""")
_LONGEST_ABBREVIATION = 8
_ABBREVIATIONS = frozenset((
    "mr", "mrs", "ms", "dr", "prof", "st", "gen", "col", "sgt", "capt", "lt", "rep", "sen", "gov",
    "rev", "hon", "no", "vs", "inc", "ltd", "co", "jan", "feb", "mar", "apr", "aug", "sept", "oct",
    "nov", "dec",
))  # fmt: skip


class C4:
    """Drops lines and marks, then documents."""

    reasons: ClassVar = {
        "long_words": "no line is left; most have a word of over 1,000 characters",
        "citations": "no line is left; most are marks such as [1]",
        "terminal_punctuation": "no line is left; most end without . ! ? or a quotation mark",
        "line_words": "no line is left; most have fewer than five words",
        "javascript": "no line is left; most name JavaScript",
        "policy": "no line is left; most are of cookies, privacy or terms of use",
        "lorem_ipsum": "a line has lorem ipsum",
        "curly_bracket": "a line has a curly bracket",
        "sentences": "fewer than three sentences are left",
    }

    def __init__(self, rules: Collection[str]):
        self._rules = rules

    def __call__(self, text: TextStatistics, document: Document) -> Drop | str:
        try:
            return clean_lines(text.text, self._rules)
        except Refused as refused:
            return Drop(refused.rule, refused.detail)


class Refused(Exception):
    """A rule that drops the document, and why."""

    def __init__(self, rule: str, detail: str):
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail


def clean_lines(text: str, rules: Collection[str]) -> str:
    """`text` with the lines and marks that `rules` leave. Raises Refused.

    Where no line is left, the rule that took most of them is the one that drops the document.
    """
    if not rules:
        return text
    kept: list[str] = []
    taken: Counter[str] = Counter()
    sentences = 0
    for line in text.split("\n"):
        line = line.strip()
        if not line:
            continue
        if "citations" in rules and "[" in line:
            line, without = _CITATION.sub("", line).strip(), line
            if not line:
                taken["citations"] += 1
                continue
            words = without.split()
        else:
            words = line.split()
        reason = _refusal(line, words, rules)
        if reason is not None:
            taken[reason] += 1
            continue
        if "sentences" in rules:
            sentences += count_sentences(line)
        kept.append(line)
    if not kept and taken:
        rule, lines = taken.most_common(1)[0]
        raise Refused(rule, f"it takes {lines} of {sum(taken.values())} lines, and none is left")
    if "sentences" in rules and sentences < MIN_SENTENCES:
        raise Refused("sentences", f"{sentences} sentences are left")
    return "\n".join(kept)


def count_sentences(line: str) -> int:
    """Sentences in a line: ends of sentences, not counting a title's or an initial's full stop."""
    count = 0
    for match in _SENTENCE_END.finditer(line):
        before = line[max(0, match.start() - _LONGEST_ABBREVIATION) : match.start()]
        word = before.rpartition(" ")[2].lstrip("(\"'“‘")
        at_end = match.end() == len(line)
        count += at_end or not (word.lower() in _ABBREVIATIONS or (len(word) == 1 and word != "I"))
    return count


def _refusal(line: str, words: list[str], rules: Collection[str]) -> str | None:
    """The rule that takes the line. Raises Refused for one that drops the document."""
    if "long_words" in rules and max(map(len, words)) > MAX_WORD_CHARACTERS:
        return "long_words"
    ends = line.endswith(END_MARKS) and not line.endswith(ELLIPSIS)
    if "terminal_punctuation" in rules and not ends:
        return "terminal_punctuation"
    if "line_words" in rules and len(words) < MIN_WORDS_OF_LINE:
        return "line_words"
    lower = line.lower()
    if "lorem_ipsum" in rules and "lorem ipsum" in lower:
        raise Refused("lorem_ipsum", f"in {line[:80]!r}")
    if "javascript" in rules and "javascript" in lower:
        return "javascript"
    if "curly_bracket" in rules and "{" in line:
        raise Refused("curly_bracket", f"in {line[:80]!r}")
    if "policy" in rules and any(phrase in lower for phrase in POLICY):
        return "policy"
    return None
