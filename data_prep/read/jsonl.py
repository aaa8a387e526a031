"""Records of JSON, UTF-8: an object a line, objects over several lines, or those of an array."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from data_prep.config import Limits
from data_prep.read.encoding import Recoded
from data_prep.read.fields import Fields
from data_prep.read.json_values import split_values
from data_prep.read.lines import split_lines
from data_prep.read.record import EXCERPT_BYTES, Bad, DamagedError, Raw
from data_prep.read.unpack import Unpacked
from geo_nemo.tokenizers.base import scrub

# A list of objects over the whole file, as JSON's writers indent it or not.
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*(?:null\s*,\s*)*(?:[\[{]|\]?\s*\Z)")
# An object over several lines.
_SPREAD = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{[ \t]*\r?\n\s*\"")
_MOST_DEEP = 2  # objects in objects that a list of records is looked for in
_MOST_DIGITS = 4000  # Python's own limit is 4,300
# pandas, of a table whose columns stand one after another.
_PANDAS = (
    "python -c 'import pandas, sys; pandas.read_json(sys.argv[1], orient=sys.argv[3]).to_json("
    'sys.argv[2], orient="records", lines=True)\' FILE FILE.jsonl '
)
# What stands around objects in files put together: RFC 7464's separator, marks of UTF-8, commas.
_BEFORE, _BEHIND = "\x1e\ufeff \t\r\n\0", " \t\r\n,\0\x1e"
_BETWEEN = re.compile(f"[{_BEFORE},]*")
_LARGE = float(1 << 63)
_ROUNDED_IN = frozenset((float, list, dict))


def read_jsonl(
    stream: Unpacked | Recoded, fields: Fields, limits: Limits, lines: bool = False
) -> Iterator[Raw | Bad]:
    """One record a line that is not blank, or a value of an array.

    lines: it is known to be lines, as of a piece of a file.
    """
    loads, pick = orjson.loads, fields.pick
    number = blank = none = 0
    is_piece = lines
    lines = lines or has_lines(stream.peek(EXCERPT_BYTES))
    split, what = (split_lines, "a line") if lines else (split_values, "an object")
    # The first record, where all others may stand in it: a second one tells.
    whole: tuple[Raw, DamagedError] | None = None
    text = fields.names["text"]
    try:
        for number, line, too_long in split(stream.blocks(), limits.record_bytes):
            head = line[:EXCERPT_BYTES]
            if too_long:
                detail = f"{what} of {too_long} bytes"
                if number == 1 and not lines:
                    detail += ": are the records in a list of it? jq -c '.NAME[]' FILE > FILE.jsonl"
                yield Bad(number, "record_too_long", detail, head)
                continue
            try:
                record = loads(line)
            except orjson.JSONDecodeError:
                if not line.strip():
                    blank += 1
                    continue
                try:
                    record = loads_leniently(line)
                except DamagedError as bad:
                    several = objects_of(line)
                    yield from (Raw(number, pick(record), head) for record in several)
                    if not several:
                        none += 1
                        yield Bad(number, bad.reason, bad.detail, head)
                    continue
            if type(record) is list and record and all(type(each) is dict for each in record):
                # A list in one line, of a file put together from several.
                yield from (Raw(number, each, head) for each in picked(record, line, pick))
                continue
            if type(record) is not dict:
                none += 1
                yield Bad(number, "wrong_type", f"{kind_of(record)}, not an object", head)
                continue
            (found,) = picked([record], line, pick)
            if number == 1 or whole:
                refusal = _refusal(record, text)
                if whole and refusal:
                    number = whole[0].number
                    raise whole[1]
                if refusal:
                    whole = Raw(number, found, head), refusal
                    continue
                if whole:
                    yield whole[0]
                    whole = None
            yield Raw(number, found, head)
        if whole:
            raise whole[1]
    except DamagedError as damage:
        yield Bad(number + 1, damage.reason, damage.detail)
        return
    if is_piece or number > blank + none:
        return
    if number == blank:
        yield Bad(0, "empty_file", "the file holds no records")
    else:
        yield Bad(0, "unknown_format", "not JSON Lines: no line of it is an object")


def picked(
    records: list[dict[str, Any]], data: bytes, pick: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Our fields of each of the records that orjson has read of `data`.

    orjson rounds whole numbers beyond 64 bits; where a field has one, `data` are read again.
    """
    found = [pick(record) for record in records]
    if not any(map(_has_large, found)):
        return found
    try:
        again = _loaded(data.decode())
    except (ValueError, RecursionError):
        return found
    return [pick(record) for record in (again if isinstance(again, list) else [again])]


def _has_large(found: dict[str, Any]) -> bool:
    """Whether a number in it may be a whole one that was rounded."""
    if _ROUNDED_IN.isdisjoint(map(type, found.values())):
        return False
    waiting = [*found.values()]
    while waiting:
        value = waiting.pop()
        if type(value) is float and abs(value) >= _LARGE:
            return True
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
    return False


def has_lines(head: bytes) -> bool:
    """Whether each record stands in a line of its own; else they are an array's, or spread."""
    return not (_ARRAY.match(head) or _SPREAD.match(head))


def _refusal(record: dict[str, Any], text: str) -> DamagedError | None:
    """Why a line is no record, where it holds all records in itself; None where it may be one."""
    if record.keys() == {"columns", "index", "data"}:
        return DamagedError("unknown_format", f"a table, not JSON Lines: {_PANDAS}split")
    own = record.get(text)
    if text in record and own is None:
        return None  # a record whose text is missing
    if isinstance(own, dict) and own.keys() and all(map(str.isdigit, own)):
        return DamagedError(
            "unknown_format", f"a table by columns, not JSON Lines: {_PANDAS}columns"
        )
    if own is not None:
        return None
    if way := _way_to_records(record, text, _MOST_DEEP):
        named = way.rpartition("[]")[0].rpartition(".")[2].strip('"')
        return DamagedError(
            "unknown_format",
            f"an object with the records in its list {named[:40]!r}, not JSON Lines: "
            f"jq -c '{way[:100]}' FILE > FILE.jsonl",
        )
    if len(record) > 1 and all(isinstance(v, dict) and text in v for v in record.values()):
        return DamagedError(
            "unknown_format",
            "an object with a record under each name, not JSON Lines: "
            "jq -c '.[]' FILE > FILE.jsonl",
        )
    return None


def _way_to_records(value: Any, text: str, deep: int) -> str:
    """The way, as jq writes it, to the objects with `text` that stand in lists; empty: none."""
    if not isinstance(value, dict):
        return ""
    for name, inner in value.items():
        way = f".{name}" if name.isidentifier() else f'."{name}"'
        first = inner[0] if isinstance(inner, list) and inner else None
        if isinstance(first, dict):
            if text in first:
                return f"{way}[]"
            # As `_source` of Elasticsearch's hits.
            for own, within in first.items():
                if isinstance(within, dict) and text in within and own.isidentifier():
                    return f"{way}[].{own}"
        if deep and (further := _way_to_records(inner, text, deep - 1)):
            return way + further
    return ""


def loads_leniently(data: bytes) -> Any:
    """JSON that orjson may have refused for what real files have and JSON has not, or not so.

    An escaped lone surrogate becomes U+FFFD; NaN and Infinity, as Python writes them, are missing
    values; whole numbers may have any length. DamagedError says what is wrong with anything else.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    try:
        decoded = data.decode()
    except UnicodeDecodeError as error:
        raise DamagedError("invalid_utf8", f"byte {error.start}: {error.reason}") from None
    try:
        # Not strict: control characters stand in texts as they are.
        return _loaded(decoded)
    except (ValueError, RecursionError):
        raise DamagedError("broken_json", reason) from None


def _loaded(text: str) -> Any:
    return scrubbed(json.loads(text, parse_constant=_missing, parse_int=_whole, strict=False))


def objects_of(line: bytes) -> list[dict[str, Any]]:
    """The objects of a line that holds nothing else: one after the other, or in separators."""
    try:
        text = line.decode().strip(_BEHIND).lstrip(_BEFORE)
    except UnicodeDecodeError:
        return []
    decoder = json.JSONDecoder(parse_constant=_missing, parse_int=_whole, strict=False)
    found = []
    place = 0
    while text.startswith("{", place):
        try:
            record, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return []
        found.append(scrubbed(record))
        place = _BETWEEN.match(text, end).end()
    return [] if place < len(text) else found


def kind_of(value: Any) -> str:
    """What JSON calls the type of a value, with its article."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value"}
    return names.get(type(value), "null" if value is None else "a number")


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) < _MOST_DIGITS else None


def _missing(name: str) -> None:
    """What NaN, Infinity and -Infinity stand for."""


def scrubbed(value: Any) -> Any:
    """`value` with U+FFFD for each lone surrogate in its texts."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {scrub(name): scrubbed(inner) for name, inner in value.items()}
    return [scrubbed(inner) for inner in value] if isinstance(value, list) else value
