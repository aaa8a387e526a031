"""Which record each document or question is shown in each condition."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.conditions import country_told, donors, is_wrong, kind_of, shown_record
from eval.config import CONTRAST, Condition, EvalConfig
from eval.documents import RecordOf
from eval.question_files import QuestionSet
from eval.texts import Items
from geo_nemo.data.conditions import UNKNOWN, tells_origin, told_codes, told_values
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.fields import Line
from geo_nemo.metadata.record import MetadataRecord


@dataclass(frozen=True)
class Shown:
    """Which record each item is shown in each condition.

    source: condition -> int64 [n], item whose record is shown; None for no metadata.
    record: the record of an item.
    place: from what `RecordOf` is given to the item's place.
    untold: items that have nothing to tell. unknown: others whose country is not known, so that a
        wrong one may be theirs.
    contrast: the record of the other country of a question, as of its place; None of documents.
    """

    source: dict[Condition, np.ndarray | None]
    record: Callable[[int], MetadataRecord]
    place: Callable[[int], int]
    untold: int = 0
    unknown: int = 0
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


def to_documents(
    items: Items, chosen: np.ndarray, config: EvalConfig, composers: Sequence[Composer]
) -> Shown:
    """What the chosen documents, int64 [n], are shown. composers: of the models."""
    records = [items.record(index) for index in chosen.tolist()]
    told = None
    if tells_origin(_lines(composers)):
        known = [record.country != "" for record in records]
        told = np.where(known, np.asarray(items.country, np.int64)[chosen], UNKNOWN)
    return _shown(
        config.document_conditions, composers, records, told, config.seed, "documents",
        lambda index: int(np.searchsorted(chosen, index)),
    )  # fmt: skip


def to_questions(asked: QuestionSet, config: EvalConfig, composers: Sequence[Composer]) -> Shown:
    """What the questions are shown."""
    records = [question.record for question in asked.questions]
    found = _shown(
        config.question_conditions, composers, records, None, config.seed, "questions",
        lambda place: place,
    )  # fmt: skip
    contrast = [question.contrast_record for question in asked.questions]
    return replace(found, contrast=lambda place: contrast[place] or records[place])


def longest_block(
    composer: Composer, records: Sequence[MetadataRecord], conditions: Sequence[Condition]
) -> int:
    """Most tokens of metadata that the conditions may show of items, whoever lends a record.

    records: of the items, and others that they are shown.
    """

    def size(record: MetadataRecord, fields: tuple[str, ...] | None = None) -> int:
        return len(composer.prefix_ids(record, fields))

    most = max(map(size, records))
    for condition in conditions:
        kind, field = kind_of(condition)
        if country_told(condition) or kind in ("other", "invented_host"):
            lender = max(records, key=lambda of, f=field: size(of, (f,) if f else None))
            shown = {shown_record(condition, composer, own, lender) for own in records}
            most = max(most, *map(size, shown))
    return most


def _shown(
    conditions: Sequence[Condition],
    composers: Sequence[Composer],
    records: Sequence[MetadataRecord],
    told: np.ndarray | None,
    seed: int,
    what: str,
    place: Callable[[int], int],
) -> Shown:
    record, number = records.__getitem__, len(records)
    lines = _lines(composers)
    if told is None:
        told = told_codes(lines, number, record)

    def source(condition: Condition) -> np.ndarray | None:
        if not is_wrong(condition):
            return donors(condition, told, seed, what)
        _, field = kind_of(condition)
        values = [
            told_values(
                [line for line in composer.lines if not field or line.name == field], number, record
            )
            for composer in composers
        ]
        return donors(condition, told, seed, what, values)

    silent = np.array([all(line.value(of) is None for line in lines) for of in records])
    return Shown(
        source={condition: source(condition) for condition in conditions},
        record=record,
        place=place,
        untold=int(silent.sum()),
        unknown=int(((told == UNKNOWN) & ~silent).sum()),
    )


def _lines(composers: Sequence[Composer]) -> list[Line]:
    """What models are told together."""
    return [line for composer in composers for line in composer.lines]
