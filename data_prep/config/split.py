"""Fractions of the splits, and how much of each country is kept."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from geo_nemo.config.section import NonNegative, Positive, Probability, Section, Spelled
from geo_nemo.metadata.geography import UNKNOWN, country_code

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Splits(Section):
    """Fractions of the documents, drawn by the hash of what must stay together.

    by: what must stay together: a `cluster` of near-duplicates (a document, where there are none),
        a `host` (registrable domain), or a `year`.
    train: the rest must equal 1 - validation - test; it is named so that a mistake shows.
    test_years, validation_years: with by=year, the years that are test and validation; the shares
        are then not used. Documents without a date are in train.
    test_per_continent: with this, test is so many documents of each continent, shared out among
        its countries as their documents are; `test` is then not used. Exactly so many, but for
        what whole hosts, clusters that are kept, or what earlier runs have trained on leave open
        or add. An error where a continent has not twice as many.
    test_min_per_country: a country whose share is smaller gets this many, as far as that is no
        more than a fifth of its documents.
    stay: what an earlier run into this output (or one of dedup.against) held out stays so, and what
        it trained on is not held out, while these settings and the seed are the same.
    test_max_per_country: a country whose share is larger gives the rest to train; with by=year,
        the rest is left out, as it may not be in train.
    """

    by: Literal["cluster", "host", "year"] = "cluster"
    stay: bool = True
    train: Annotated[float, Field(gt=0, le=1)] = 0.94
    validation: Fraction = 0.02
    test: Fraction = 0.04
    test_years: tuple[Positive, ...] = ()
    validation_years: tuple[Positive, ...] = ()
    test_per_continent: Positive | None = None
    test_min_per_country: NonNegative = 2
    test_max_per_country: Positive = 5000

    @model_validator(mode="after")
    def _whole(self):
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, validation and test add up to {total:g}, not 1")
        if self.test_min_per_country > self.test_max_per_country:
            raise ValueError(
                f"test_min_per_country {self.test_min_per_country} is above "
                f"test_max_per_country {self.test_max_per_country}"
            )
        if (self.by == "year") != bool(self.test_years):
            raise ValueError("by=year needs test_years, and test_years needs by=year")
        if self.by != "year" and self.validation_years:
            raise ValueError("validation_years needs by=year")
        both = sorted(set(self.test_years) & set(self.validation_years))
        if both:
            raise ValueError(f"{both[0]} is in test_years and in validation_years")
        return self


class Balance(Section):
    """How much of a country's training documents is kept; drawn by content hash.

    keep: share by country, as `{us: 0.5}`; 1 where a country is not named.
    cap: documents by country, at most.
    cap_all: documents of any country, at most. cap_host: of any host (registrable domain), at most.
    """

    keep: Annotated[dict[str, Probability], Spelled] = Field(default_factory=dict)
    cap: Annotated[dict[str, Positive], Spelled] = Field(default_factory=dict)
    cap_all: Positive | None = None
    cap_host: Positive | None = None

    @field_validator("keep", "cap")
    @classmethod
    def _known_countries(cls, value: dict[str, float]) -> dict[str, float]:
        known = {}
        for name, number in value.items():
            code = UNKNOWN if name == UNKNOWN else country_code(name)
            if code is None:
                raise ValueError(
                    f"{name!r} is neither a code (fr, FRA) nor an English name of a country"
                )
            if code in known:
                raise ValueError(f"{name!r} is a country that is named twice, as {code}")
            known[code] = number
        return known
