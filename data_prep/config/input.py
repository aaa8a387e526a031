"""Where records come from: files and patterns, their formats, names of fields, and limits."""

import codecs
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from data_prep.config.extra import (
    Constant,
    ExtraField,
    check_constant,
    check_name,
    named_columns,
)
from data_prep.config.kinds import READERS
from geo_nemo.config.secret import Arguments
from geo_nemo.config.section import Filled, PluginName, Positive, Section, spelled

AUTO = "auto"


def _format(name: str) -> str:
    return name if name == AUTO else READERS.check(name)


def _encoding(name: str) -> str:
    try:
        known = codecs.lookup(name)._is_text_encoding
        if known:  # some are of names of hosts, and read no text
            codecs.getincrementaldecoder(name)(errors="replace").decode(b"id,text", True)
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"{name!r} is no encoding of text; such are utf-8, cp1252, koi8_r; text in "
            "another becomes UTF-8 first, as of EUC-TW: iconv -f EUC-TW -t UTF-8 FILE > NEW"
        )
    return name


Format = Annotated[PluginName, AfterValidator(_format)]
Encoding = Annotated[str, AfterValidator(_encoding)]


class FieldMap(Section):
    """What the fields of a record are called; dots reach into objects, as in `meta.url`.

    None: the source has no such field. extra: columns that are kept as metadata fields of your own,
        by the fields' names; a word, or a list, names columns that are called as their fields.
    """

    id: str | None = "id"
    url: str | None = "url"
    title: str | None = "title"
    text: str = "text"
    country: str | None = "country"
    continent: str | None = "continent"
    date: str | None = "date"
    language: str | None = None
    quality: str | None = None
    extra: dict[str, ExtraField] = Field(default_factory=dict)

    @field_validator("extra", mode="before")
    @classmethod
    def _columns(cls, value: Any) -> Any:
        return named_columns(value)

    @field_validator("extra")
    @classmethod
    def _names(cls, value: dict[str, ExtraField]) -> dict[str, ExtraField]:
        for name in value:
            check_name(name, f"fields.extra.{name}")
        return value

    @property
    def built_in(self) -> dict[str, str]:
        """Name in the source by ours, of the fields that the source has, but `extra`."""
        names = self.model_dump(exclude={"extra"})
        return {ours: theirs for ours, theirs in names.items() if theirs is not None}


class Source(Section):
    """Files of one kind.

    path: a file, a folder (of a Hugging Face dataset, or of files), a pattern, or `s3://...`.
    name: what the store calls this source, in the documents' `source` column.
    format: `auto` looks at the first bytes, and at the name where they do not tell; else jsonl,
        parquet, arrow, orc, csv, webdataset, warc, wet, arc, html, dataset, one of entry points
        of the group `geo_nemo.readers`, or `module:attribute`. options: its reader's arguments.
    encoding: of JSON Lines and CSV, such as `cp1252`; UTF-8, or what the bytes show, where it is
        not given.
    fields: names of fields in another schema.
    set: what records of this source have where they do not say it themselves, as `license: CC-BY`.
    """

    path: Filled
    name: Annotated[str, Field(min_length=1, max_length=64)] = "default"
    format: Format = AUTO
    options: Arguments = Field(default_factory=dict)
    encoding: Encoding | None = None
    fields: FieldMap = FieldMap()
    set: dict[str, Constant] = Field(default_factory=dict)

    @field_validator("set", mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for name, given in value.items():
            values = given if isinstance(given, list) else [given]
            if not all(isinstance(each, bool | int | float | str) for each in values):
                raise ValueError(
                    f"{name}={given!r} is no constant: write a text, a number, true or false, or a "
                    f"list of them"
                )
        codes = {name: spelled(value[name]) for name in ("country", "language") if name in value}
        return {**value, **codes}

    @field_validator("set")
    @classmethod
    def _constants(cls, value: dict[str, Constant]) -> dict[str, Constant]:
        for name, given in value.items():
            check_constant(name, given)
        return value

    @model_validator(mode="after")
    def _options_of_a_reader(self):
        if self.options and self.format in (AUTO, *READERS.known):
            raise ValueError(f"options are for readers of other packages: {self.format} takes none")
        return self

    @property
    def key(self) -> str:
        """All that decides what its records become, as one line of JSON."""
        # What is not given changes no key that stood before there was such a setting.
        absent: dict[str, Any] = {"path": True}
        if self.encoding is None:
            absent["encoding"] = True
        if not self.set:
            absent["set"] = True
        if not self.options:
            absent["options"] = True
        if not self.fields.extra:
            absent["fields"] = {"extra"}
        return self.model_dump_json(exclude=absent)

    def with_extra(self, columns: dict[str, ExtraField]) -> "Source":
        """The same source, with `columns` among its extra fields where it names none so."""
        extra = columns | self.fields.extra
        return self.model_copy(update={"fields": self.fields.model_copy(update={"extra": extra})})


def with_defaults(sources: list[Any], values: dict[str, Any]) -> list[Any]:
    """`sources` as they are written, each with the `format` and `encoding` of `values` where it
    has none of its own."""
    given = {name: values[name] for name in ("format", "encoding") if values.get(name) is not None}
    return [{**given, **each} if isinstance(each, dict) else each for each in sources]


def with_fields(sources: list[Any], fields: Any) -> list[Any]:
    """`sources` as they are written, with `fields` for each that does not give its own."""
    if not isinstance(fields, dict):
        return sources
    # What is no field is said once, where it is written.
    known = {name: value for name, value in fields.items() if name in FieldMap.model_fields}
    return [
        {**source, "fields": _joined(known, source.get("fields") or {})}
        if isinstance(source, dict)
        else source
        for source in sources
    ]


def _joined(fields: dict[str, Any], own: Any) -> Any:
    if not isinstance(own, dict):
        return own
    try:
        extra = [named_columns(each.get("extra") or {}) for each in (fields, own)]
    except ValueError:  # which is said where it is written
        return {**fields, **own}
    if not all(isinstance(each, dict) for each in extra):
        return {**fields, **own}
    joined = {**extra[0], **extra[1]}
    return {**fields, **own, **({"extra": joined} if joined else {})}


class Limits(Section):
    """What no input may exceed; what does is set aside, and never held in memory whole.

    record_bytes: a longer record (line, row, member, page) is quarantined.
    expansion: bytes that a byte of a compressed file may become, beyond the first 64 MiB.
    task_bytes: files are given to a task until they hold so many bytes; a larger one is cut where
        records begin, if it is JSON Lines, WARC, WET or Parquet.
    max_value_bytes: a longer value of a metadata field of your own is cut.
    max_values: values that a store numbers of such a field; one that has more is kept as free text.
    """

    record_bytes: Annotated[int, Field(ge=1024, le=1 << 31)] = 10_000_000
    expansion: Positive = 1000
    task_bytes: Positive = 256_000_000
    max_value_bytes: Annotated[int, Field(ge=32, le=1 << 16)] = 256
    max_values: Annotated[int, Field(ge=1, le=1 << 24)] = 1_000_000
