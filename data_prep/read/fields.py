"""The fields of a record under our names, wherever they stand in its schema."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.config import FieldMap


class Fields:
    """A FieldMap made ready: `pick` takes our fields out of a record.

    A name with dots is first looked for as it is, then as a way into objects.
    names: name in the source by ours, of the fields that the source has.
    """

    def __init__(self, fields: FieldMap):
        self.names: dict[str, str] = {
            ours: theirs for ours, theirs in fields.model_dump().items() if theirs is not None
        }
        self._plain = [(o, t) for o, t in self.names.items() if "." not in t]
        self._dotted = [(o, t, t.split(".")) for o, t in self.names.items() if "." in t]

    def pick(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Our fields of `record` that are neither absent nor null."""
        get = record.get
        found = {}
        for ours, theirs in self._plain:
            value = get(theirs)
            if value is not None:
                found[ours] = value
        for ours, theirs, way in self._dotted:
            value = get(theirs)
            if value is None:
                value = _follow(record, way)
            if value is not None:
                found[ours] = value
        return found


def missing_column(wanted: str, names: Sequence[str]) -> str:
    """What to say where no column is called `wanted`: those there are, and the nearest name."""
    listed = ", ".join(map(repr, names[:20]))[:200]
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), folded, n=1, cutoff=0.6)
    near = near or [name for name in ("content", "body", "article", "document") if name in folded]
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    return f"no column {wanted!r} among {listed}{hint}: set fields.text"


def _follow(value: Any, way: list[str]) -> Any:
    for name in way:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
