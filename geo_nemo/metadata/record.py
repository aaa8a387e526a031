"""The metadata of one document, and the kind of each token of a composed document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

# What tells documents apart that differ in a column: an integer column of a store, or, where it is
# None, nothing but the document. A column that is not here is the user's own, and its own key.
KEY_OF: dict[str, str | None] = {
    "host": "host",
    "country": "country",
    "continent": "country",
    "source": "source",
    "year": "year",
    "quality": "quality",
    "path": None,
    "scheme": None,
}
NOTHING: Mapping[str, str | int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """Where a text comes from; an empty value is an unknown one.

    host: lower-case host name, `bbc.co.uk`.
    country: ISO 3166 alpha-2, lower case, `gb`.
    continent: one of `geography.CONTINENTS`.
    path: path and query that follow the host, with the leading slash; may be empty.
    scheme: `https`; used by the `full` URL form only.
    year: 0 where it is unknown. quality: 0 to 100. source: name of the input source.
    extra: columns of the user's own.
    """

    host: str = ""
    country: str = ""
    continent: str = ""
    path: str = ""
    scheme: str = "https"
    year: int = 0
    quality: int | None = None
    source: str = ""
    extra: Mapping[str, str | int] = field(default_factory=lambda: NOTHING, hash=False)

    def column(self, name: str) -> str | int | None:
        """The value of a column; None where the document has none of that name."""
        return getattr(self, name) if name in KEY_OF else self.extra.get(name)


class Kind(IntEnum):
    """What a token of a composed document is; decides its colour, its loss and its account."""

    PAD = 0
    BOS = 1
    METADATA = 2
    LABEL = 3
    TITLE = 4
    BODY = 5
    EOS = 6
