"""What a model is told in each condition of the evaluation, and which of them it was trained on.

with, without         the truth; nothing
plain                 nothing, and no label either: the bare text
shuffled              another document's record
wrong_country         the record of a document of another country, which is known
only_FIELD, no_FIELD  the truth, in one field alone; in all fields but one
other_FIELD           the truth, but in one field something else, what a document of another country
                      has there
invented_host         the truth, but for a host that nobody has
as_gb                 told to be from a country, and of the rest nothing that tells another
guidance_1.5          the truth and nothing, and how they differ 1.5 times: logits are untold +
                      1.5 * (told - untold) (classifier-free guidance, arXiv 2306.17806)
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eval.config import AS, GUIDANCE, Condition
from eval.model import Model
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.data import conditions as shown_as
from geo_nemo.data.conditions import generator
from geo_nemo.metadata.compose import NO_TOKENS, Composer
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.fields import lines_of
from geo_nemo.metadata.geography import continent_of, countries
from geo_nemo.metadata.record import MetadataRecord

__all__ = ["donors", "generator"]

# By the names of geo_nemo.data.conditions; what is not here is told the truth, or part of it.
SHOWN_AS: dict[str, str] = {
    "without": shown_as.WITHOUT,
    "plain": shown_as.WITHOUT,
    "shuffled": shown_as.SHUFFLED,
    "wrong_country": shown_as.WRONG,
    "other": shown_as.WRONG,
}
# Of bare text.
BARE = MetadataPolicy(fields=(), template="plain")
# What a condition tells that tells a country alone.
OF_A_COUNTRY = {"country", "continent"}
# The kinds whose names end in a field's.
OF_A_FIELD = ("only", "no", "other")


def kind_of(condition: Condition) -> tuple[str, str]:
    """(`only`, `country`) of `only_country`; of a condition that names no field, it and nothing."""
    kind, _, field = condition.partition("_")
    return (kind, field) if kind in OF_A_FIELD and field else (condition, "")


def country_told(condition: Condition) -> str:
    """The country that a condition tells of every document; empty for all others."""
    return condition.partition("_")[2] if re.fullmatch(AS, condition) else ""


def guidance(condition: Condition) -> float | None:
    """The strength of a condition that compares told with not told; None of all others.

    0 is told nothing, 1 is told the truth.
    """
    return float(condition.partition("_")[2]) if re.fullmatch(GUIDANCE, condition) else None


def is_wrong(condition: Condition) -> bool:
    """Whether a condition tells something that is not the document's own."""
    return SHOWN_AS.get(kind_of(condition)[0]) == shown_as.WRONG


def donors(
    condition: Condition,
    told: np.ndarray,
    seed: int,
    what: str,
    values: Sequence[np.ndarray] = (),
) -> np.ndarray | None:
    """`geo_nemo.data.conditions.donors` of a condition; its error says how to go on."""
    try:
        shown = SHOWN_AS.get(kind_of(condition)[0], shown_as.WITH)
        return shown_as.donors(shown, told, seed, what, values)
    except UserError as error:
        raise UserError(f"condition {condition}: {error}: leave it out of conditions=") from None


def shown_record(
    condition: Condition, composer: Composer, own: MetadataRecord, donor: MetadataRecord
) -> MetadataRecord:
    """The record that a condition shows of an item, whose donor is `donor`."""
    kind, field = kind_of(condition)
    if country := country_told(condition):
        return MetadataRecord("", country, continent_of(country))
    if kind == "invented_host":
        return replace(own, host=invented_host(own.host))
    if kind != "other":
        return donor
    lines = [line for line in composer.lines if line.name == field]
    return with_columns(own, {c: donor.column(c) for line in lines for c in line.columns})


def with_columns(record: MetadataRecord, values: Mapping[str, object]) -> MetadataRecord:
    """The record with other values in some of its columns."""
    known = {name: value for name, value in values.items() if name in record.__slots__}
    extra = {name: value for name, value in values.items() if name not in known}
    return replace(record, **known, extra={**record.extra, **extra} if extra else record.extra)


def invented_host(host: str) -> str:
    """A host of a domain that is reserved, so that no document has it; the same for the same."""
    number = zlib.crc32(b"invented " + host.encode())
    letters = "".join("bcdfghklmnprstvz"[(number >> shift) % 16] for shift in range(0, 32, 4))
    return f"{letters}.example"


class View:
    """A composer as a condition uses it: some of the fields, or neither fields nor labels.

    bare: what composes the text where there are no labels; its first words are other tokens than
    behind a label, where a space stands in front of them.
    """

    def __init__(self, composer: Composer, fields: tuple[str, ...] | None, labels: bool):
        self.composer = composer
        self.tokenizer = composer.tokenizer
        self.policy = composer.policy
        self.lines = composer.lines
        self.bare = None if labels else Composer(BARE, composer.tokenizer)
        self._fields = fields
        self._labels = labels

    def texts(
        self, title_ids: np.ndarray, body_ids: np.ndarray, opened: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.bare is not None:
            return self.bare.texts(title_ids, body_ids, opened=False)
        return self.composer.texts(title_ids, body_ids, opened)

    def prefix_ids(self, record: MetadataRecord | None) -> np.ndarray:
        if record is None or not self._labels:
            return NO_TOKENS
        return self.composer.prefix_ids(record, self._fields)

    def join(self, block: np.ndarray, title: np.ndarray, body: np.ndarray, final: bool) -> Composed:
        if self._labels:
            return self.composer.join(block, title, body, final)
        eos = np.array([self.tokenizer.eos_id], np.int32) if final else NO_TOKENS
        parts = (NO_TOKENS, NO_TOKENS, title, NO_TOKENS, body, NO_TOKENS, eos)
        return Composed(self.tokenizer.bos_id, parts)


def view(condition: Condition, composer: Composer) -> Composer | View:
    """The composer as `condition` uses it. The composer's own tokens are scored in every one but
    `plain`, which has those of the bare text.
    """
    kind, field = kind_of(condition)
    if kind == "plain":
        return View(composer, None, labels=False)
    if kind == "only":
        return View(composer, (field,), labels=True)
    if kind == "no":
        kept = tuple(name for name in composer.policy.fields if name != field)
        return View(composer, kept, labels=True)
    return composer


def check_fields_of(condition: Condition, policy: MetadataPolicy, run: str) -> None:
    """Raise `UserError` where a condition names a field that the policy does not show."""
    kind, field = kind_of(condition)
    if field and field not in policy.fields:
        raise UserError(
            f"condition {condition}: runs.{run} is shown {', '.join(policy.fields)} and no "
            f"{field}: leave the condition out, or give metadata= with the field"
        )
    told = country_told(condition)
    if told and told not in countries():
        raise UserError(f"condition {condition}: no country {told}; give a code, as as_gb")
    if told and not (OF_A_COUNTRY & set(policy.fields)):
        raise UserError(
            f"condition {condition}: runs.{run} is shown neither country nor continent: leave it "
            "out of conditions="
        )
    if kind == "invented_host" and not any(
        column == "host" for line in lines_of(policy) for column in line.columns
    ):
        raise UserError(
            f"condition {condition}: runs.{run} is shown no host: leave it out of conditions="
        )


def off_distribution(condition: Condition, model: Model, policy: MetadataPolicy) -> bool:
    """Whether a model was never trained on what it reads in a condition.

    What stands in the fields does not count: a wrong country looks as a right one does. Of a model
    of somebody else's only the bare text is taken for what it knows.
    """
    if guidance(condition) is not None:
        return any(off_distribution(each, model, policy) for each in ("with", "without"))
    stages = [stage.metadata for stage in model.stages.values()]
    kind, field = kind_of(condition)
    if kind == "plain":
        told_nothing = any(p.plain_dropout > 0 or _tells_nothing(p, BARE) for p in stages)
        return bool(stages) and not told_nothing
    if kind == "without":
        return not any(_tells_nothing(p, policy) for p in stages)
    fields = set(policy.fields)
    told = {"only": {field}, "no": fields - {field}}.get(kind, fields)
    if country_told(condition):
        told = fields & OF_A_COUNTRY

    def trained(p: MetadataPolicy) -> bool:
        missing = set(p.fields) - told
        dropped = all(p.field_dropout.get(name, 0) > 0 for name in missing)
        return (
            bool(p.fields)
            and told <= set(p.fields)
            and dropped
            and p.template == policy.template
            and ("url" not in told or p.url_form == policy.url_form)
        )

    return not any(map(trained, stages))


def _tells_nothing(stage: MetadataPolicy, policy: MetadataPolicy) -> bool:
    """Whether a stage has documents without metadata in the text of `policy`."""
    return (not stage.fields or stage.dropout > 0) and stage.text_alike(policy)
