"""Filters of rules that each look at a whole text."""

from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

from data_prep.clean.filter import Drop
from data_prep.clean.statistics import TextStatistics
from data_prep.document import Document

# A rule: what is wrong with the text, or None.
Rule = Callable[[TextStatistics], str | None]


class RuleFilter:
    """The first rule that a text breaks drops its document. checks: the rules, by name."""

    checks: ClassVar[Mapping[str, Rule]]
    reasons: ClassVar[Mapping[str, str]]

    def __init__(self, rules: Collection[str]):
        self._checks = [(name, self.checks[name]) for name in rules]

    def __call__(self, text: TextStatistics, document: Document) -> Drop | None:
        for name, check in self._checks:
            wrong = check(text)
            if wrong is not None:
                return Drop(name, wrong)
        return None
