"""The fields of a record under our names, wherever they stand in its schema."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_prep.config import FieldMap

EXTRA = "extra."
MOST_SEEN = 40
MOST_KNOWN = 10_000  # names of records that are told apart by case
_LONGEST = 100  # characters of a column's name
# What other schemas call them.
_USUAL = {
    "text": ("content", "body", "article", "maintext", "article_text", "full_text", "fulltext",
             "document", "story", "plain_text", "raw_content", "description"),
    "url": ("link", "uri", "href", "source_url", "page_url", "permalink", "web_url", "source"),
}  # fmt: skip


class Fields:
    """A FieldMap made ready: `pick` takes our fields out of a record.

    A name with dots is first looked for as it is, then as a way into objects. A field of ours
    stands under a name that differs by case alone, `URL` for `url`, where a record (or the header
    of a table) has one such and not the name itself.
    names: name in the source by ours, of the fields that the source has; ours of a field of the
        user's own begins with EXTRA. seen: what the source calls its fields, as far as is known.
    """

    def __init__(self, fields: FieldMap):
        extra = {f"{EXTRA}{name}": field.column for name, field in fields.extra.items()}
        self.names: dict[str, str] = fields.built_in | extra
        self.seen: tuple[str, ...] = ()
        self._known: set[str] = set()
        self._folded: dict[str, dict[str, None]] = {}
        # Ours, theirs, and the names that differ from theirs by case, each as a way into objects.
        self._loose: list[tuple[str, str, list[list[str]]]] = []
        self._arrange()

    def pick(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Our fields of `record` that are neither absent nor null."""
        if not record.keys() <= self._known:
            self._learn(record)
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
        for ours, theirs, ways in self._loose:
            if ours in found or theirs in record or theirs.partition(".")[0] in record:
                continue
            values = [value for way in ways if (value := _follow(record, way)) is not None]
            if len(values) == 1:
                found[ours] = values[0]
        return found

    def see(self, names: Iterable[str]) -> None:
        """Learn what a table calls its columns, as its header has them.

        Kept for who looks for one that is not there.
        """
        there = [str(name) for name in names]
        self.seen = tuple(there[:MOST_SEEN])
        self._known.update(there)
        self._fold(there)
        for ours, theirs in self.names.items():
            first = theirs.partition(".")[0]
            if theirs in there or first in there:
                continue
            alike = self._alike(theirs)
            if len(alike) == 1:
                self.names[ours] = alike[0]
        self._folded.clear()
        self._arrange()

    def _learn(self, record: Mapping[str, Any]) -> None:
        """The same of a record, of which others may have other names."""
        if len(self._known) > MOST_KNOWN:
            return
        there = [*map(str, record), *_within(record)]
        self.seen = self.seen or tuple(there[:MOST_SEEN])
        self._known.update(record)
        self._fold(there)
        alike = ((ours, theirs, self._alike(theirs)) for ours, theirs in self.names.items())
        self._loose = [
            (ours, theirs, [[name] if name in self._known else name.split(".") for name in names])
            for ours, theirs, names in alike
            if names
        ]

    def _fold(self, names: Iterable[str]) -> None:
        for name in names:
            self._folded.setdefault(name.strip().casefold(), {})[name] = None

    def _alike(self, theirs: str) -> list[str]:
        """Names so far that differ from `theirs` by case alone."""
        first, dot, rest = theirs.partition(".")
        alike = list(self._folded.get(theirs.casefold(), {}))
        if not alike and dot:
            alike = [f"{name}.{rest}" for name in self._folded.get(first.casefold(), {})]
        return [name for name in alike if name != theirs]

    def explained(self, reason: str, detail: str) -> str:
        """Why a record has no text or address: what its source has instead of such a field."""
        ours = {"missing_text": "text", "missing_url": "url"}.get(reason, "")
        if not self.seen or not ours or detail != f"no {ours}":
            return detail
        return missing_field(ours, self.names.get(ours, ours), self.seen)

    def _arrange(self) -> None:
        self._plain = [(o, t) for o, t in self.names.items() if "." not in t]
        self._dotted = [(o, t, t.split(".")) for o, t in self.names.items() if "." in t]


def _within(record: Mapping[str, Any]) -> Iterable[str]:
    """Names of what stands in the objects of a record, with the way to it."""
    objects = [(name, value) for name, value in record.items() if isinstance(value, Mapping)]
    return [f"{name}.{inner}" for name, value in objects for inner in value]


def missing_column(wanted: str, names: Sequence[str]) -> str:
    """What to say where no column is called `wanted`: those there are, and the nearest name."""
    if not names:
        return "the file has no columns"
    listed = _listed(names)
    if any(name.startswith(("http://", "https://")) or len(name) > _LONGEST for name in names):
        return (
            f"the first line is no header, but {listed}: put one above it, such as url,title,text"
        )
    near = _likely("text", wanted, names)
    return f"no column {wanted!r} among {listed}: give fields.text={near or 'NAME'}"


def missing_field(ours: str, wanted: str, names: Sequence[str]) -> str:
    """The same of a record that lacks `ours`, which is to be called `wanted`."""
    if wanted in names:
        return f"no {ours}"
    near = _likely(ours, wanted, names)
    return f"no {wanted!r} among {_listed(names)}: give fields.{ours}={near or 'NAME'}"


def _likely(ours: str, wanted: str, names: Sequence[str]) -> str:
    """Which of `names` may hold `ours`; empty where none is likely."""
    folded = {name.casefold(): name for name in reversed(names)}
    for usual in (wanted, *_USUAL[ours]):
        for name in folded:
            if name.rpartition(".")[2] == usual.casefold():
                return folded[name]
    near = _near(wanted, folded)
    return near[0] if near else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20]))[:200]


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
