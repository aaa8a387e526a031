"""The licence of a document, where its page or record names one."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from data_prep.document import Document

_ADDRESS = re.compile(
    r"creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero|mark))"
    r"(?:/(\d\.\d)(?:/([a-z]{2,3})\b)?)?",
    re.IGNORECASE,
)
_SHORT = re.compile(
    r"\bcc[ -]?(by(?:[ -](?:nc|nd|sa))*+|zero|0)(?:[ -]v?(\d\.\d))?+(?![\w-]|\.\w)",
    re.IGNORECASE,
)
_LONG = re.compile(
    r"creative commons attribution"
    r"((?:[ -](?:non-?commercial|no-?deriv(?:ative)?s?(?: works)?|share-?alike))*)"
    r"(?: (\d\.\d))?",
    re.IGNORECASE,
)
_PARTS = (("nc", "commercial"), ("nd", "deriv"), ("sa", "alike"))


class License:
    """The field `license`: what the page says under `rel=license`, in meta tags, in its linked
    data or by a link to Creative Commons, or what the record's column `license` says.

    Licences of Creative Commons are written as SPDX does (`CC-BY-SA-4.0`, `CC0-1.0`), without a
    version where none is named; all others as they came.
    """

    version = "1"
    fields: ClassVar = {"license": "category"}

    def __call__(self, document: Document, said: Mapping[str, Any]) -> dict[str, Any]:
        value = said.get("license")
        if isinstance(value, list):
            return {"license": [spdx(each) if isinstance(each, str) else each for each in value]}
        return {"license": spdx(value)} if isinstance(value, str) else {}


def spdx(said: str) -> str:
    """The one licence of Creative Commons that a text names, as SPDX writes it; else the text."""
    found = {_of_address(*m.groups()) for m in _ADDRESS.finditer(said)}
    found |= {_name(m[1], m[2]) for m in _SHORT.finditer(said)}
    for match in _LONG.finditer(said):
        parts = [short for short, word in _PARTS if word in match[1].lower()]
        found.add(_name("-".join(["by", *parts]), match[2]))
    # `CC BY (https://creativecommons.org/licenses/by/4.0/)` is one licence.
    whole = {each for each in found if not any(o != each and o.startswith(each + "-") and
             o.removeprefix(each + "-")[:1].isdigit() for o in found)}  # fmt: skip
    return whole.pop() if len(whole) == 1 else said


def _of_address(kind: str | None, public: str | None, version: str | None, port: str | None) -> str:
    if public and public.lower() == "mark":
        return "-".join(filter(None, ("CC-PDM", version)))
    return "-".join(filter(None, (_name(kind or "zero", version), port and port.upper())))


def _name(kind: str, version: str | None) -> str:
    kind = kind.lower().replace(" ", "-")
    if kind in ("zero", "0"):
        return "-".join(filter(None, ("CC0", version)))
    parts = set(kind.split("-"))
    ordered = [part for part in ("by", "nc", "nd", "sa") if part in parts]
    return "-".join(filter(None, ("CC", *map(str.upper, ordered), version)))
