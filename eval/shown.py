"""Which record each document or question is shown in each condition."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eval.conditions import donors, shown_record
from eval.config import CONTRAST, Condition, EvalConfig
from eval.documents import RecordOf
from eval.question_files import QuestionSet
from eval.texts import Items
from geo_nemo.data.conditions import tells_origin, told_codes
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.fields import Line
from geo_nemo.metadata.record import MetadataRecord


@dataclass(frozen=True)
class Shown:
    """Which record each item is shown in each condition.

    source: condition -> int64 [n], item whose record is shown; None for no metadata.
    record: the record of an item.
    place: from what `RecordOf` is given to the item's place.
    contrast: the record of the other country of a question, as of its place; None of documents.
    """

    source: dict[Condition, np.ndarray | None]
    record: Callable[[int], MetadataRecord]
    place: Callable[[int], int]
    contrast: RecordOf | None = None

    def record_of(self, condition: Condition, composer: Composer) -> RecordOf:
        """What the condition shows of an item through a composer."""
        if condition == CONTRAST:
            return self.contrast
        source = self.source[condition]
        if source is None:
            return lambda item: None

        def shown(item: int) -> MetadataRecord:
            place = self.place(item)
            donor = int(source[place])
            return shown_record(condition, composer, self.record(place), self.record(donor))

        return shown


def to_documents(items: Items, chosen: np.ndarray, config: EvalConfig, lines: list[Line]) -> Shown:
    """What the chosen documents, int64 [n], are shown. lines: what models are told together."""

    def record(place: int) -> MetadataRecord:
        return items.record(int(chosen[place]))

    if tells_origin(lines):
        told = np.asarray(items.country)[chosen]
    else:
        told = told_codes(lines, len(chosen), record)
    return Shown(
        source={
            condition: donors(condition, told, config.seed, "documents")
            for condition in config.document_conditions
        },
        record=record,
        place=lambda index: int(np.searchsorted(chosen, index)),
    )


def to_questions(asked: QuestionSet, config: EvalConfig, lines: list[Line]) -> Shown:
    """What the questions are shown."""

    def record(place: int) -> MetadataRecord:
        return asked.questions[place].record

    told = told_codes(lines, len(asked.questions), record)
    return Shown(
        source={
            condition: donors(condition, told, config.seed, "questions")
            for condition in config.question_conditions
        },
        record=record,
        place=lambda place: place,
        contrast=lambda place: asked.questions[place].contrast_record or record(place),
    )
