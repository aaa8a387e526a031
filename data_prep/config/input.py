"""Where records come from: files and patterns, their formats, names of fields, and limits."""

from typing import Annotated, Literal

from pydantic import Field

from geo_nemo.config.schema import Positive, Section

Format = Literal["auto", "jsonl", "parquet", "arrow", "csv", "webdataset", "warc", "wet", "dataset"]


class FieldMap(Section):
    """What the fields of a record are called; dots reach into objects, as in `meta.url`.

    None: the source has no such field.
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


class Source(Section):
    """Files of one kind.

    path: a file, a folder (of a Hugging Face dataset, or of files), a pattern, or `s3://...`.
    name: what the store calls this source, in the documents' `source` column.
    format: `auto` looks at the first bytes, and at the name where they do not tell.
    fields: names of fields in another schema.
    """

    path: str
    name: Annotated[str, Field(min_length=1, max_length=64)] = "default"
    format: Format = "auto"
    fields: FieldMap = FieldMap()


class Limits(Section):
    """What no input may exceed; what does is set aside, and never held in memory whole.

    record_bytes: a longer record (line, row, member, page) is quarantined.
    expansion: bytes that a byte of a compressed file may become, beyond the first 64 MiB.
    task_bytes: files are given to a task until they hold so many bytes; none is divided.
    """

    record_bytes: Annotated[int, Field(ge=1024, le=1 << 31)] = 10_000_000
    expansion: Positive = 1000
    task_bytes: Positive = 256_000_000
