"""Typed config of `geo-nemo prep`: from raw records to an annotated corpus and a token store."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from data_prep.config.annotate import Annotate
from data_prep.config.clean import Clean
from data_prep.config.dedup import Dedup, Overlap
from data_prep.config.execution import Execution
from data_prep.config.input import Limits, Source
from data_prep.config.split import Balance, Splits
from data_prep.config.tokenizer import TokenizerChoice
from geo_nemo.config.section import Section, Seed


class Prep(Section):
    """One preparation.

    input: files, patterns, or sources with a name and a map of fields; see `Source`.
    output: folder that receives `corpus/`, `tokenizer/`, `store/`, the data card and `work/`.
    corpus: format of the annotated corpus; `none` writes none.
    shard_documents: documents in a file of the corpus and in a shard of the store, at most.
    keep_work: keep what stages hand on, so that a run with more input does only what is new.
    """

    input: tuple[Source, ...]
    output: str
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

    @field_validator("input", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        many = value if isinstance(value, list | tuple) else [value]
        return [{"path": entry} if isinstance(entry, str) else entry for entry in many]

    @field_validator("input")
    @classmethod
    def _some_input(cls, value: tuple[Source, ...]) -> tuple[Source, ...]:
        if not value:
            raise ValueError("no input file is named")
        return value

    def canonical(self, *fields: str) -> str:
        """`fields` as one line of JSON, for the key of a stage."""
        return json.dumps(self.model_dump(mode="json", include=set(fields)), sort_keys=True)
