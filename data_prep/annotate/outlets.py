"""Tables of outlets, host or domain to country: the reviewed default, and a user's own."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from data_prep.annotate.urls import host_facts, parse
from data_prep.quarantine import Rejected
from geo_nemo.config.errors import UserError
from geo_nemo.metadata.geography import country_code

DEFAULT_NAME = "data_prep/annotate/outlets.csv"
MAX_TABLE_BYTES = 1 << 30
_NAME = re.compile(r"(?:[a-z0-9_-]+\.)+[a-z0-9-]+|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table. host: in the WHATWG's form; `bbc.co.uk` covers `www.bbc.co.uk` too."""

    line: int
    host: str
    country: str


@cache
def default_outlets() -> dict[str, str]:
    """The reviewed default table. Not to be changed."""
    text = (files("data_prep.annotate") / "outlets.csv").read_text(encoding="utf-8")
    return {row.host: row.country for row in _parse(DEFAULT_NAME, text)}


def load_outlets(path: str | None) -> dict[str, str]:
    """Host or domain to country: the reviewed default, and before it the user's table.

    UserError names the line of a table that cannot be read.
    """
    table = dict(default_outlets())
    if path is not None:
        table.update((row.host, row.country) for row in read_table(path, "outlets="))
    return table


def read_table(path: str, key: str = "") -> list[Row]:
    """The rows of the table in file `path`; `key` stands before it in messages.

    UserError names the first line that is no `host,country`, or repeats a host with another one.
    """
    try:
        if Path(path).stat().st_size > MAX_TABLE_BYTES:
            raise UserError(f"{key}{path} is over {MAX_TABLE_BYTES >> 30} GiB: is it a table?")
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {key}{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{key}{path} is not UTF-8") from None
    return _parse(path, text)


def _parse(name: str, text: str) -> list[Row]:
    lines = csv.reader(text.splitlines())
    rows: list[Row] = []
    seen: dict[str, str] = {}
    try:
        header = next(lines, [])
        if [column.strip().lower() for column in header[:2]] != ["host", "country"]:
            raise UserError(f"{name}: the first line must be host,country")
        for number, cells in enumerate(lines, start=2):
            if any(cell.strip() for cell in cells):
                row = _row(name, number, cells)
                if seen.setdefault(row.host, row.country) != row.country:
                    raise UserError(
                        f"{name} line {number}: {row.host} has another country further up"
                    )
                rows.append(row)
    except csv.Error as error:
        raise UserError(f"{name} line {lines.line_num}: {error}") from None
    return rows


def _row(name: str, number: int, cells: list[str]) -> Row:
    written = ",".join(cells)[:80]
    code = country_code(cells[1]) if len(cells) > 1 else None
    text = cells[0].strip().lower().removesuffix(".")
    if code is None or not text or (any(c in text for c in "/:@?#") and not text.startswith("[")):
        raise UserError(f"{name} line {number}: {written!r} is no host,country")
    if _NAME.fullmatch(text):
        # Already in the WHATWG's form: a parse of each row would cost more than all the rest.
        return Row(number, text, code)
    try:
        host = host_facts(parse("https://" + text).hostname).name
    except Rejected:
        raise UserError(f"{name} line {number}: {written!r} is no host,country") from None
    return Row(number, host, code)
