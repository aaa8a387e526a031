"""The fields of a record under our names, wherever they stand in its schema."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from data_prep.config import FieldMap

EXTRA = "extra."
MOST_SEEN = 40


class Fields:
    """A FieldMap made ready: `pick` takes our fields out of a record.

    A name with dots is first looked for as it is, then as a way into objects.
    names: name in the source by ours, of the fields that the source has; ours of a field of the
        user's own begins with EXTRA. seen: what the source calls its fields, as far as is known.
    """

    def __init__(self, fields: FieldMap):
        extra = {f"{EXTRA}{name}": field.column for name, field in fields.extra.items()}
        self.names: dict[str, str] = fields.built_in | extra
        self.seen: tuple[str, ...] = ()
        self._plain = [(o, t) for o, t in self.names.items() if "." not in t]
        self._dotted = [(o, t, t.split(".")) for o, t in self.names.items() if "." in t]

    def pick(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Our fields of `record` that are neither absent nor null."""
        if not self.seen:
            self.see(record)
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

    def see(self, names: Iterable[str]) -> None:
        """Keep what the source calls its fields, for who looks for one that is not there."""
        self.seen = tuple(islice((str(name) for name in names), MOST_SEEN))


def missing_column(wanted: str, names: Sequence[str]) -> str:
    """What to say where no column is called `wanted`: those there are, and the nearest name."""
    listed = ", ".join(map(repr, names[:20]))[:200]
    folded = {name.casefold(): name for name in names}
    near = _near(wanted, folded)
    usual = ("content", "body", "article", "document")
    near = near or [folded[name] for name in usual if name in folded]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no column {wanted!r} among {listed}{hint}: set fields.text"


def nearest(wanted: str, names: Sequence[str]) -> str:
    """What the records have instead of a field, and which of it may be meant."""
    near = _near(wanted, {name.casefold(): name for name in names})
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"the records have {', '.join(names)[:200]}{hint}"


def _near(wanted: str, folded: Mapping[str, str]) -> list[str]:
    found = difflib.get_close_matches(wanted.casefold(), folded, n=1, cutoff=0.6)
    return [folded[name] for name in found]


def _follow(value: Any, way: list[str]) -> Any:
    for name in way:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
