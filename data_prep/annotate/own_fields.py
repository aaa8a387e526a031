"""Values of metadata fields of the user's own: text of one line, not too long, or missing.

NaN, null and white space are missing, and so is what writers of tables put in their place. A
category or text takes a number or truth value as text; what is no number or date is missing in a
field of these types. What was changed is counted.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from data_prep.annotate.dates import find_date
from data_prep.annotate.text import MISSING, normal_line
from data_prep.read.fields import EXTRA
from geo_nemo.store.field_column import SEVERAL
from geo_nemo.store.manifest import FieldKind

# What is counted of a field, beside `documents` that have it, and how a person is told.
COUNTED = {
    "several": "with several values",
    "first": "with several values, of which the first is kept",
    "cut": "cut to max_value_bytes",
    "line_breaks": "with line breaks, now spaces",
    "control_tokens": "with the name of a control token, which stays text",
    "unusable": "could not be used, taken as missing",
    "numbers": "are numbers",
    "texts": "are text",
    "truth_values": "are true or false",
}
_CLASSES = ("texts", "numbers", "truth_values")
_CONTROL = re.compile(r"<\|[^<>|]{1,40}\|>|</?s>|<(?:unk|pad|bos|eos|mask)>|\[/?INST\]")
_LINE_BREAK = re.compile("[\n\r\x0b\x0c\x85\u2028\u2029]")
_MARKS = frozenset("<[")
_WHOLE = re.compile(r"[+-]?\d{1,40}\Z")
# Values that are remembered: how many, and of how many characters at most.
_CACHED, _SHORT = 1 << 16, 256
_UNUSABLE = (None, ("unusable",))
_MISSING = (None, ())


class OwnFields:
    """Takes the fields of the user's own out of records.

    counts: by field, how many `documents` have it, and COUNTED. firsts: fields of which a document
    keeps one value.
    """

    def __init__(
        self,
        kinds: Mapping[str, FieldKind],
        most_bytes: int,
        firsts: Collection[str] = (),
    ):
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in kinds}
        self._kinds = [
            (name, f"{EXTRA}{name}", (kind, name in firsts), {}) for name, kind in kinds.items()
        ]
        self._most = most_bytes

    def of(self, fields: Mapping[str, Any]) -> dict[str, str] | None:
        """The values that a record has, by name; several of one field have SEVERAL between them."""
        found = {}
        for name, key, kind, cache in self._kinds:
            value = fields.get(key)
            if value is None:
                continue
            short = value.__class__ is str and len(value) <= _SHORT
            told = cache.get(value) if short else None
            if told is None:
                told = self._told(value, *kind)
                if short:
                    if len(cache) >= _CACHED:
                        cache.clear()
                    cache[value] = told
            text, notes = told
            counts = self.counts[name]
            for note in notes:
                counts[note] += 1
            if text is not None:
                counts["documents"] += 1
                found[name] = text
        return found or None

    def _told(self, value: Any, kind: FieldKind, first: bool) -> tuple[str | None, tuple[str, ...]]:
        """A value in its form, None where it is missing, and what is to be counted of it."""
        if not isinstance(value, list):
            return self._one(value, kind)
        notes: Counter[str] = Counter()
        texts: dict[str, None] = {}
        size = 0
        for each in value:
            text, told = self._one(each, kind) if each is not None else _MISSING
            notes.update(told)
            if text is None or text in texts:
                continue
            if first and texts:
                notes["first"] += 1
                break
            # The line shows them all; what would make it too long is left out, whole.
            size += len(text.encode()) + 2 * bool(texts)
            if size > self._most and texts:
                notes["cut"] += 1
                break
            texts[text] = None
        if len(texts) > 1:
            notes["several"] += 1
        return SEVERAL.join(texts) or None, tuple(sorted(notes))

    def _one(self, value: Any, kind: FieldKind) -> tuple[str | None, tuple[str, ...]]:
        if isinstance(value, float) and math.isnan(value):
            return _MISSING
        if kind == "number":
            number = _number(value)
            return number if isinstance(number, tuple) else (number, ())
        if kind == "date":
            if isinstance(value, str) and (not value.strip() or value in MISSING):
                return _MISSING
            day = "" if isinstance(value, dict | list | bool) else find_date(value)[0]
            return (day, ()) if day else _UNUSABLE
        if isinstance(value, bool):
            return ("true" if value else "false"), ("truth_values",)
        if isinstance(value, int | float):
            text = _number(value)
            return text if isinstance(text, tuple) else (text, ("numbers",))
        return self._text(value) if isinstance(value, str) else _UNUSABLE

    def _text(self, value: str) -> tuple[str | None, tuple[str, ...]]:
        if value in MISSING:
            return _MISSING
        # Only as much is looked at as can be kept, and some that white space may take.
        long = value[: 4 * self._most + 64]
        text = normal_line(long)
        if not text:
            return _MISSING
        notes = ["texts"]
        if _LINE_BREAK.search(long.strip()):
            notes.append("line_breaks")
        if not _MARKS.isdisjoint(text) and _CONTROL.search(text):
            notes.append("control_tokens")
        encoded = text.encode()
        if len(encoded) > self._most or len(long) < len(value):
            notes.append("cut")
            text = encoded[: self._most].decode("utf-8", "ignore").rstrip()
        return text or None, tuple(notes)


def mixed(counts: Mapping[str, int]) -> bool:
    """Whether a field has values of several types."""
    return sum(bool(counts.get(name)) for name in _CLASSES) > 1


def _number(value: Any) -> str | tuple[None, tuple[str, ...]]:
    """A number as short as it can be written exactly; what to count where there is none."""
    if isinstance(value, str):
        value = value.strip()
        if not value or value in MISSING:
            return _MISSING
        if _WHOLE.match(value):
            value = int(value)
        else:
            try:
                value = float(value)
            except ValueError:
                return _UNUSABLE
            if math.isnan(value):
                return _MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _UNUSABLE
    if isinstance(value, float):
        if not math.isfinite(value):
            return _UNUSABLE
        value = int(value) if value.is_integer() and abs(value) < 1e16 else value
    elif value.bit_length() > 128:
        return _UNUSABLE
    return repr(value)
