"""Typed config of `geo-nemo prep`: from raw records to an annotated corpus and a token store."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from data_prep.config.annotate import Annotate
from data_prep.config.clean import Clean
from data_prep.config.dedup import Dedup, Overlap
from data_prep.config.execution import Execution
from data_prep.config.extra import CONSTANTS, ExtraField
from data_prep.config.input import (
    AUTO,
    Encoding,
    FieldMap,
    Format,
    Limits,
    Source,
    with_defaults,
    with_fields,
)
from data_prep.config.split import Balance, Splits
from data_prep.config.tokenizer import TokenizerChoice
from geo_nemo.common.errors import UserError
from geo_nemo.config.section import OnDisk, Section, Seed
from geo_nemo.store.manifest import FieldKind


class Prep(Section):
    """One preparation.

    fields: names of fields, for every source that does not give its own; see `FieldMap`.
    format, encoding: of the files, for every source that does not give its own; see `Source`.
    input: files, patterns, or sources with a name and a map of fields; see `Source`.
    output: folder that receives `corpus/`, `tokenizer/`, `store/`, the data card and `work/`.
    corpus: format of the annotated corpus; `none` writes none.
    shard_documents: documents in a file of the corpus and in a shard of the store, at most.
    keep_work: keep what stages hand on, so that a run with more input does only what is new.
    """

    fields: FieldMap = FieldMap()
    format: Format = AUTO
    encoding: Encoding | None = None
    input: tuple[Source, ...]
    output: OnDisk
    limits: Limits = Limits()
    annotate: Annotate = Annotate()
    clean: Clean = Clean()
    dedup: Dedup = Dedup()
    overlap: Overlap = Overlap()
    splits: Splits = Splits()
    balance: Balance = Balance()
    tokenizer: TokenizerChoice = TokenizerChoice()
    corpus: Literal["parquet", "webdataset", "none"] = "parquet"
    seed: Seed = 0
    shard_documents: Annotated[int, Field(gt=0, le=1 << 32)] = 250_000
    keep_work: bool = True
    execution: Execution = Execution()

    @model_validator(mode="before")
    @classmethod
    def _each_source(cls, values: Any) -> Any:
        """One source or many, each with `fields` where it has none of its own."""
        if not isinstance(values, dict) or "input" not in values:
            return values
        given = values["input"]
        many = given if isinstance(given, list | tuple) else [given]
        sources = [{"path": entry} if isinstance(entry, str) else entry for entry in many]
        sources = with_defaults(sources, values)
        return {**values, "input": with_fields(sources, values.get("fields"))}

    @field_validator("input")
    @classmethod
    def _some_input(cls, value: tuple[Source, ...]) -> tuple[Source, ...]:
        if not value:
            raise ValueError("no input file is named")
        return value

    @model_validator(mode="after")
    def _one_type_a_field(self):
        types: dict[str, str] = {}
        for source in self.input:
            for name, field in source.fields.extra.items():
                if types.setdefault(name, field.type) != field.type:
                    raise ValueError(
                        f"fields.extra.{name} is {types[name]} for one source and {field.type} for "
                        f"another: give them one type"
                    )
                if field.several == "all" and name in self.firsts:
                    raise ValueError(
                        f"fields.extra.{name} keeps the first of several values for one source and "
                        f"all for another: write several: first for both, or for neither"
                    )
        return self

    @property
    def kinds(self) -> dict[str, FieldKind]:
        """The metadata fields of the user's own and their types, by name: of all sources, and of
        annotators. UserError where one has two types."""
        found: dict[str, FieldKind] = {}
        for source in self.input:
            found |= {name: "category" for name in source.set if name not in CONSTANTS}
        for source in self.input:
            found |= {name: field.type for name, field in source.fields.extra.items()}
        for name, kind in self.annotate.found_fields.items():
            if found.setdefault(name, kind) != kind:
                raise UserError(
                    f"annotate.annotators: {name} is of type {kind}, and of the input it is "
                    f"{found[name]}: write fields.extra.{name}={{column: NAME, type: {kind}}}, or "
                    "call that field otherwise"
                )
        return dict(sorted(found.items()))

    @property
    def sources(self) -> tuple[Source, ...]:
        """`input`, each with the columns that annotators look at: those called as their fields."""
        asked = {
            name: ExtraField(column=name, type=kind)
            for name, kind in self.annotate.found_fields.items()
        }
        return tuple(s.with_extra(asked) for s in self.input) if asked else self.input

    @property
    def firsts(self) -> frozenset[str]:
        """Those of them of which a document keeps the first value alone."""
        fields = [item for source in self.input for item in source.fields.extra.items()]
        return frozenset(name for name, field in fields if field.several == "first")

    def canonical(self, *fields: str) -> str:
        """`fields` as one line of JSON, for the key of a stage."""
        deciding = self.deciding()
        return json.dumps({name: deciding[name] for name in fields}, sort_keys=True)
