"""Typed config of `geo-nemo prep`: from raw records to an annotated corpus and a token store."""

import glob
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from geo_nemo.config.errors import UserError
from geo_nemo.config.schema import NonNegative, Positive, Section
from geo_nemo.metadata.geography import country_code

Share = Annotated[float, Field(ge=0, lt=1)]


class TokenizerChoice(Section):
    """A tokenizer to load (`path`), or one to train on a sample of the train split.

    path: a sentencepiece `.model` or a Hugging Face `tokenizer.json`.
    bos, eos, pad: names of a Hugging Face vocabulary's control tokens, where they are unusual.
    vocab_size: pieces of the sentencepiece BPE that is trained where `path` is not given.
    shrink: train as many pieces as the texts give where they do not give `vocab_size`.
    sample_bytes: UTF-8 bytes of train text it is trained on, about; drawn by content hash.
    """

    path: str | None = None
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    vocab_size: Annotated[int, Field(ge=300)] = 8192
    shrink: bool = False
    sample_bytes: Positive = 20_000_000


class Splits(Section):
    """Shares of the documents, drawn by content hash, so that no content is in two splits.

    train: the rest must equal 1 - validation - test; it is named so that a mistake shows.
    test_min_per_country: a country whose share is smaller gets this many, as far as that is no
        more than a fifth of its documents.
    test_max_per_country: a country whose share is larger gives the rest to train.
    """

    train: Annotated[float, Field(gt=0, le=1)] = 0.94
    validation: Share = 0.02
    test: Share = 0.04
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
        return self


class Prep(Section):
    """One preparation.

    input: JSON Lines files (plain, gzip or zstd), or patterns such as `news-*.jsonl.gz`.
    output: folder that receives `corpus/`, `tokenizer/` and `store/`.
    countries: the corpus's countries; each must have documents, and records of others are
        quarantined. Empty: every country that is there.
    outlets: a table of the user's own, CSV with columns host,country; it goes before the default.
    max_line_bytes: a longer record is quarantined, and never held in memory whole.
    shard_documents: documents in a file of the corpus and in a shard of the store, at most.
    """

    input: tuple[str, ...]
    output: str
    tokenizer: TokenizerChoice = TokenizerChoice()
    splits: Splits = Splits()
    countries: tuple[str, ...] = ()
    outlets: str | None = None
    seed: NonNegative = 0
    max_line_bytes: Annotated[int, Field(ge=1024, le=1 << 31)] = 10_000_000
    shard_documents: Positive = 1_000_000

    @field_validator("input", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("input")
    @classmethod
    def _some_input(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("no input file is named")
        return value

    @field_validator("countries")
    @classmethod
    def _known_countries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        codes = tuple(country_code(name) for name in value)
        for name, code in zip(value, codes, strict=True):
            if code is None:
                raise ValueError(f"{name!r} is no ISO 3166 alpha-2 code")
            if codes.count(code) > 1:
                raise ValueError(f"{name!r} is listed twice")
        return codes

    def input_files(self) -> list[Path]:
        """The files of `input`, patterns expanded in sorted order.

        UserError where one is missing, is a folder, or is named twice.
        """
        files: list[Path] = []
        for name in self.input:
            if Path(name).exists() or not glob.has_magic(name):
                files.append(Path(name))
                continue
            found = sorted(glob.glob(name))
            if not found:
                raise UserError(f"input={name}: no file matches")
            files += map(Path, found)
        seen: set[Path] = set()
        for file in files:
            if not file.exists():
                raise UserError(f"input={file}: no such file")
            if not file.is_file():
                raise UserError(f"input={file} is no file: give JSON Lines files or a pattern")
            if file.resolve() in seen:
                raise UserError(f"input={file} is named twice")
            seen.add(file.resolve())
        return files

    def canonical(self, *fields: str) -> str:
        """`fields` as one line of JSON, for the key of a stage."""
        return json.dumps(self.model_dump(mode="json", include=set(fields)), sort_keys=True)
