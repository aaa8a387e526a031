"""A reader from outside: what it gives is checked, and what goes wrong in it names it."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from data_prep.config import Source
from data_prep.config.input import AUTO
from data_prep.config.kinds import READERS
from data_prep.quarantine import REASONS
from data_prep.read.formats import SETTING
from data_prep.read.jsonl import scrubbed
from data_prep.read.opened import Opened
from data_prep.read.record import EXCERPT_BYTES, Bad, DamagedError, Raw, shown
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.config.plugins import blaming

_MEND = f"mend it, or give another {SETTING}, then run the same command again"
_END = object()
_PLAIN = (str, int, float, bool, type(None))


class Brought:
    """The records of one file by a reader that a recipe names.

    It gives a mapping for each record, by the names of its `columns`, or `Bad` for one that cannot
    be read; the source's field map applies.
    """

    def __init__(self, source: Source, opened: Opened):
        self.name, self._opened = source.format, opened
        self._columns = _columns_of(source)
        self._reader = READERS.make(source.format, SETTING, options=source.options)
        opened.count = [0]

    def records(self) -> Iterator[Raw | Bad]:
        """What it gives, under our names. Raises RunError where it fails or gives another thing."""
        opened, number = self._opened, 0
        opened.fields.see(self._columns)
        items = self._items()
        while True:
            number += 1
            with blaming(f"the reader {self._at(number)}", _MEND):
                try:
                    item = next(items, _END)  # None is no end, but a lie of the reader
                except DamagedError as damage:
                    self._known(damage.reason, number)
                    raise
            if item is _END:
                return
            yield self._checked(item, number)

    def _items(self) -> Iterator[Any]:
        # A generator of its own: a reader's `read` may as well give a list.
        yield from self._reader.read(self._opened)

    def _checked(self, item: Any, number: int) -> Raw | Bad:
        if isinstance(item, Bad):
            self._known(item.reason, number)
            kinds = (int, str, str, bytes)
            for name, kind in zip(("number", "reason", "detail", "excerpt"), kinds, strict=True):
                if not isinstance(value := getattr(item, name), kind):
                    what = f"Bad with {name} of type {type(value).__name__}, not {kind.__name__}"
                    raise self._lies(number, what)
            return item
        if not isinstance(item, Mapping):
            raise self._lies(number, f"{type(item).__name__}, not a dict of its columns or Bad")
        if unknown := [name for name in item if name not in self._columns]:
            promised = ", ".join(self._columns)
            raise self._lies(number, f"a field {unknown[0]!r}, and its columns are {promised}")
        for name, value in item.items():
            if not (type(value) in _PLAIN or _is_json(value)):
                raise self._lies(number, f"{name} of type {type(value).__name__}, not of JSON's")
        fields = scrubbed(self._opened.fields.pick(item))
        text = str(fields.get("text", ""))
        head = text[:EXCERPT_BYTES].encode()[:EXCERPT_BYTES]
        size = sum(len(value) for value in fields.values() if isinstance(value, str))
        self._opened.count[0] += size
        if size > self._opened.limits.record_bytes:
            return Bad(number, "record_too_long", f"a record of {size} characters", head)
        return Raw(number, fields, head)

    def _known(self, reason: str, number: int) -> None:
        if reason not in REASONS:
            raise self._lies(number, f"the reason {reason!r}: use one of data_prep.quarantine")

    def _lies(self, number: int, what: str) -> RunError:
        return RunError(f"the reader {self._at(number)} gives {what}; {_MEND}")

    def _at(self, number: int) -> str:
        return f"{self.name}, in {shown(self._opened.path)}, record {number},"


def brought_reader(source: Source) -> str:
    """Who the source's reader is where it is not ours, and its version; for keys. UserError where
    it cannot be had."""
    if source.format == AUTO:
        return ""
    READERS.get(source.format, SETTING)  # ours, too: its name may be taken
    if source.format in READERS.known:
        return ""
    _columns_of(source)
    READERS.make(source.format, SETTING, options=source.options)
    return READERS.brought(source.format, SETTING)


def _columns_of(source: Source) -> tuple[str, ...]:
    """What a reader from outside says that its records have. UserError where it says nothing."""
    columns = getattr(READERS.get(source.format, SETTING), "columns", None)
    named = isinstance(columns, tuple | list) and all(isinstance(name, str) for name in columns)
    if not (named and columns):
        raise UserError(
            f"{SETTING}: {source.format} has no `columns`: give its class a tuple of the names "
            "that its records have"
        )
    return tuple(columns)


def _is_json(value: Any) -> bool:
    try:
        orjson.dumps(scrubbed(value))
    except TypeError:  # orjson's own errors are such
        return False
    return isinstance(value, list | dict)
