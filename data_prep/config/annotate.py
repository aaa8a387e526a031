"""What is found out about a document: its origin, language, date and quality."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from data_prep.config.extra import check_name
from data_prep.config.kinds import ANNOTATORS
from geo_nemo.common.errors import UserError
from geo_nemo.config.secret import Options
from geo_nemo.config.section import LATER, Filled, PluginName, Probability, Section, Spelled
from geo_nemo.metadata.geography import country_code
from geo_nemo.store.manifest import FieldKind

Name = Annotated[PluginName, AfterValidator(ANNOTATORS.check)]
SETTING = "annotate.annotators"


class Annotate(Section):
    """Settings of the annotation.

    outlets: a table of the user's own, CSV with columns host,country; it goes before the default.
    international: what an outlet tells that writes for the world, as the table marks it: the
        country of its `publisher`, where the record names no other, or `none`.
    allow_hosts: a file of the hosts that alone may be in the corpus. block_hosts: files of hosts
        that may not. opt_out: files of hosts, or tables of host and path, that opted out.
    countries: the corpus's countries; each must have documents, and records of others are
        quarantined. Empty: every country that is there.
    on_unknown_country: `keep` or `drop` documents of which nothing tells the country; where it is
        not given they are dropped if `countries` names some, and else kept.
    languages: ISO 639-1 codes to keep; empty keeps all, and identifies none.
    language_score: a document whose language is less certain is quarantined. language_score_short:
        the same of texts under 200 characters. on_uncertain_language: `keep` such documents, with
        language `und` and their score.
    quality_languages: languages whose texts the measure of quality serves; documents that are
        known to be of another have none. Empty: all have one.
    ambiguous_dates: what a date such as 03/04/2024 is, of which day and month cannot be told: the
        `year` alone, or as `day_first` or `month_first` say.
    annotators: what else is found out, each as metadata fields: `license`, `toxicity`, those of
        entry points of the group `geo_nemo.annotators`, or `module:attribute`.
    options: keyword arguments of annotators, by their names.
    """

    outlets: Filled | None = None
    international: Literal["publisher", "none"] = "publisher"
    allow_hosts: Filled | None = None
    block_hosts: tuple[Filled, ...] = ()
    opt_out: tuple[Filled, ...] = ()
    countries: Annotated[tuple[str, ...], Spelled] = ()
    on_unknown_country: Literal["keep", "drop"] | None = None
    languages: Annotated[tuple[str, ...], Spelled] = ()
    language_score: Probability = 0.65
    language_score_short: Probability | None = None
    on_uncertain_language: Literal["drop", "keep"] = "drop"
    quality_languages: Annotated[tuple[str, ...], Spelled, LATER] = ()
    ambiguous_dates: Annotated[Literal["year", "day_first", "month_first"], LATER] = "year"
    annotators: Annotated[tuple[Name, ...], LATER] = ()
    options: Annotated[Options, LATER] = Field(default_factory=dict)

    @property
    def found_fields(self) -> dict[str, FieldKind]:
        """The fields that annotators give, and their types. UserError for one without any."""
        found: dict[str, FieldKind] = {}
        for name in self.annotators:
            fields = getattr(ANNOTATORS.get(name, SETTING), "fields", None)
            if not (isinstance(fields, Mapping) and fields):
                raise UserError(
                    f"{SETTING}: {name} has no `fields`: give its class a dict of the fields that "
                    "it finds, the type of each by its name"
                )
            for field, kind in fields.items():
                try:
                    check_name(field, None)
                except (ValueError, TypeError) as error:
                    raise UserError(f"{SETTING}: {name}: {error}") from None
                if kind not in get_args(FieldKind):
                    kinds = ", ".join(get_args(FieldKind))
                    raise UserError(
                        f"{SETTING}: {name}: {field} is of type {kind!r}: take one of {kinds}"
                    )
                if field in found:
                    raise UserError(f"{SETTING}: two give the field {field}: take one of them out")
                found[field] = kind
        return found

    @property
    def keeps_unknown(self) -> bool:
        """Whether a document of unknown country is kept."""
        if self.on_unknown_country is None:
            return not self.countries
        return self.on_unknown_country == "keep"

    @model_validator(mode="after")
    def _options_of_some(self):
        if unused := [name for name in self.options if name not in self.annotators]:
            raise ValueError(f"options of {unused[0]}, which is not one of annotators")
        return self

    @field_validator("quality_languages")
    @classmethod
    def _codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch("[a-z]{2,3}", name):
                raise ValueError(f"{name!r} is no code of a language: give it as ISO 639 does, en")
        return value

    @field_validator("countries")
    @classmethod
    def _known_countries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        codes = tuple(country_code(name) for name in value)
        for name, code in zip(value, codes, strict=True):
            if code is None:
                raise ValueError(
                    f"{name!r} is neither a code (fr, FRA) nor an English name of a country"
                )
            if codes.count(code) > 1:
                raise ValueError(f"{name!r} is listed twice")
        return codes
