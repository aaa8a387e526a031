"""The fields of a record under our names, wherever they stand in its schema."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
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
        self._arrange()

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
        """Learn what the source calls its fields, as its header or first record has them.

        Kept for who looks for one that is not there. A field of ours stands under a name that
        differs by case alone, `URL` for `url`, where there is one such and not the name itself.
        """
        there = [str(name) for name in names]
        self.seen = tuple(there[:MOST_SEEN])
        folded: dict[str, list[str]] = {}
        for name in there:
            folded.setdefault(name.strip().casefold(), []).append(name)
        for ours, theirs in self.names.items():
            first, dot, rest = theirs.partition(".")
            if theirs in there or first in there:
                continue
            alike = folded.get(theirs.casefold(), [])
            alike = alike or [f"{name}{dot}{rest}" for name in folded.get(first.casefold(), [])]
            if len(alike) == 1:
                self.names[ours] = alike[0]
        self._arrange()

    def _arrange(self) -> None:
        self._plain = [(o, t) for o, t in self.names.items() if "." not in t]
        self._dotted = [(o, t, t.split(".")) for o, t in self.names.items() if "." in t]


def missing_column(wanted: str, names: Sequence[str]) -> str:
    """What to say where no column is called `wanted`: those there are, and the nearest name."""
    listed = ", ".join(map(repr, names[:20]))[:200]
    folded = {name.casefold(): name for name in names}
    near = _near(wanted, folded)
    usual = ("content", "body", "article", "document")
    near = near or [folded[name] for name in usual if name in folded]
    return f"no column {wanted!r} among {listed}: give fields.text={near[0] if near else 'NAME'}"


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
