"""Tables of outlets, host or domain to country: the reviewed default, and a user's own.

A row is `host,country`, and may have two more columns: `basis`, why it is so, and `scope`, where
`international` marks an outlet that writes for the world. A host may have the beginning of a path
behind it (`bbc.com/pidgin`): an edition. The country `none` says that the host tells no country,
whatever its domain: what shortens, keeps or gathers pages of others.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from data_prep.annotate.urls import host_facts, parse
from data_prep.quarantine import Rejected
from geo_nemo.common.errors import UserError
from geo_nemo.metadata.geography import country_code

# The country of what tells none.
NONE = "none"
DEFAULT_NAME = "data_prep/annotate/outlets.csv"
MAX_TABLE_BYTES = 1 << 30
_NAME = re.compile(r"(?:[a-z0-9_-]+\.)+[a-z0-9-]+|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table.

    host: in the WHATWG's form, and the path of an edition; `bbc.co.uk` covers `www.bbc.co.uk` too.
    country: NONE where it tells none. basis: why. is_international: writes for the world.
    """

    line: int
    host: str
    country: str
    basis: str = ""
    is_international: bool = False


class Outlets(dict[str, str]):
    """Country by host or edition; NONE for those that tell none.

    international: hosts of outlets that write for the world.
    """

    def __init__(
        self,
        countries: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        international: Iterable[str] = (),
    ):
        super().__init__(countries)
        self.international = set(international)

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows, which go before what is there."""
        for row in rows:
            self[row.host] = row.country
            (self.international.add if row.is_international else self.international.discard)(
                row.host
            )


@cache
def default_outlets() -> Outlets:
    """The reviewed default table. Not to be changed.

    It is read without the checks of `default_rows`, which cost ten times as much: a test holds
    that host and country stand first in each line, and as `Row` has them.
    """
    lines = _default_text().splitlines()[1:]
    international = [line.partition(",")[0] for line in lines if line.endswith(",international")]
    return Outlets(dict(line.split(",", 2)[:2] for line in lines), international)


def default_rows() -> list[Row]:
    """The rows of the reviewed default table, each with its basis."""
    return _parse(DEFAULT_NAME, _default_text())


def _default_text() -> str:
    return (files("data_prep.annotate") / "outlets.csv").read_text(encoding="utf-8")


def load_outlets(path: str | None, international: str = "publisher") -> Outlets:
    """Host or domain to country: the reviewed default, and before it the user's table.

    international: what an outlet of the world tells, the country of its `publisher`, or `none`.

    UserError names the line of a table that cannot be read.
    """
    default = default_outlets()
    table = Outlets(default, default.international)
    if path is not None:
        table.add(read_table(path, "outlets="))
    if international == "none":
        table.update(dict.fromkeys(table.international, NONE))
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
        raise UserError(f"{key}{path} is not UTF-8: save it as CSV UTF-8") from None
    return _parse(path, text)


def _parse(name: str, text: str) -> list[Row]:
    # Spreadsheets of half of Europe part by semicolons.
    first = text.partition("\n")[0]
    sign = next((sign for sign in ";\t" if sign in first and "," not in first), ",")
    lines = csv.reader(text.splitlines(), delimiter=sign)
    rows: list[Row] = []
    seen: dict[str, str] = {}
    try:
        header = next(lines, [])
        names = [column.strip().lower() for column in header]
        if not {"host", "country"} <= set(names):
            raise UserError(
                f"{name}: the first line must be host,country, and it is {', '.join(header)[:80]!r}"
            )
        for number, cells in enumerate(lines, start=2):
            # A row of `outlets missing` that nobody filled in says nothing.
            told = dict(zip(names, cells, strict=False))
            is_open = len(cells) > 2 and not told.get("country", "").strip()
            if any(cell.strip() for cell in cells) and not is_open:
                row = _row(name, number, told)
                if seen.setdefault(row.host, row.country) != row.country:
                    raise UserError(
                        f"{name} line {number}: {row.host} has another country further up"
                    )
                rows.append(row)
    except csv.Error as error:
        raise UserError(f"{name} line {lines.line_num}: {error}") from None
    return rows


def _row(name: str, number: int, cells: dict[str, str]) -> Row:
    written = ",".join(cells.values())[:80]
    country = cells.get("country", "").strip()
    code = NONE if country.lower() == NONE else country_code(country)
    text, slash, path = cells["host"].strip().partition("/")
    text = text.lower().removesuffix(".")
    if code is None or not text or (any(c in text for c in ":@?#") and not text.startswith("[")):
        raise UserError(f"{name} line {number}: {written!r} is no host,country")
    if not _NAME.fullmatch(text):
        # Others are in the WHATWG's form: a parse of each row would cost more than all the rest.
        try:
            text = host_facts(parse("https://" + text).hostname).name
        except Rejected:
            raise UserError(f"{name} line {number}: {written!r} is no host,country") from None
    path = path.strip("/")
    if not path.isascii():
        path = parse(f"https://{text}/{path}").pathname.strip("/")
    host = text + slash + path if path else text
    scope = cells.get("scope", "").strip().lower()
    return Row(number, host, code, cells.get("basis", "").strip(), scope == "international")
