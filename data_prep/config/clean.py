"""Which rules a text must pass, and what is masked in it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from data_prep.config.kinds import FILTERS
from geo_nemo.config.secret import Options
from geo_nemo.config.section import LATER, NonNegative, PluginName, Positive, Section

Filter = Annotated[PluginName, AfterValidator(FILTERS.check)]


class Clean(Section):
    """Settings of the cleaning.

    min_characters, max_characters: of the text, after cleaning.
    rules: filters to apply, in this order: published rule sets (gopher_quality, gopher_repetition,
        c4, fineweb), those of entry points of the group `geo_nemo.filters`, or `module:attribute`.
    except_rules: single rules of them to leave out, by name, as `gopher_quality.stop_words`.
    options: keyword arguments of filters, by their names.
    pii: kinds to mask in the text: e-mail addresses, IP addresses, phone numbers, payment cards,
        IBANs, national numbers with a checksum (data_prep.clean.numbers).
    now_masks: what to do with NOW's `@ @ @ @ @ @ @ @ @ @` (10 of 200 words withheld): `keep` them,
        `cut` the text at each of them and keep its longest piece, or `drop` the document.
    repeated_title: `cut` a title that stands again in the text's first lines, with the byline or
        caption below it; web pages are read without it.
    samples_per_reason: dropped records kept for reading, of a reason and a task.
    """

    min_characters: NonNegative = 0
    max_characters: Positive = 1_000_000
    rules: tuple[Filter, ...] = ()
    except_rules: tuple[str, ...] = ()
    options: Annotated[Options, LATER] = Field(default_factory=dict)
    pii: tuple[Literal["email", "ip", "phone", "card", "iban", "national_id"], ...] = ()
    now_masks: Literal["keep", "cut", "drop"] = "keep"
    repeated_title: Literal["keep", "cut"] = "keep"
    samples_per_reason: Annotated[int, Field(ge=0, le=10_000)] = 100

    @model_validator(mode="after")
    def _options_of_some(self):
        if unused := [name for name in self.options if name not in self.rules]:
            raise ValueError(f"options of {unused[0]}, which is not one of rules")
        return self
