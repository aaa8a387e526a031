"""What a filter is, ours or another package's."""

from collections.abc import Collection, Mapping
from typing import ClassVar, NamedTuple, Protocol

from data_prep.clean.statistics import TextStatistics
from data_prep.document import Document


class Drop(NamedTuple):
    """The verdict that drops a document. rule: a key of `reasons`. detail: what is wrong."""

    rule: str
    detail: str


class Filter(Protocol):
    """Looks at the text of one document after another; made anew in every process.

    reasons: what each of its rules drops a document for, in words; a document that is dropped is
        counted under `<name of the filter>.<rule>`.
    """

    reasons: ClassVar[Mapping[str, str]]

    def __init__(self, rules: Collection[str]):
        """rules: the keys of `reasons` that apply, all but those of clean.except_rules; options of
        the recipe follow by name."""

    def __call__(self, text: TextStatistics, document: Document) -> "Drop | str | None":
        """The verdict: None keeps the text, a string is what the text becomes.

        text: of the document, as the filters before left it.
        """
        ...
