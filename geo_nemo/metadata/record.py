"""The metadata of one document, and the kind of each token of a composed document."""

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """Where a text comes from.

    host: lower-case host name, `bbc.co.uk`.
    path: path and query that follow the host, with the leading slash; may be empty.
    country: ISO 3166 alpha-2, lower case, `gb`.
    continent: one of `geography.CONTINENTS`.
    scheme: `https`; used by the `full` URL form only.
    """

    host: str
    country: str
    continent: str
    path: str = ""
    scheme: str = "https"


class Kind(IntEnum):
    """What a token of a composed document is; decides its colour, its loss and its account."""

    PAD = 0
    BOS = 1
    METADATA = 2
    LABEL = 3
    TITLE = 4
    BODY = 5
    EOS = 6
