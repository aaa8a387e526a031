"""Country and continent of a record: its own fields, then the outlet table, then the domain.

Evidence that disagrees is never settled by a guess: the record is set aside.
"""

import csv
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from data_prep.annotate.urls import Host
from data_prep.quarantine import Rejected
from geo_nemo.config.errors import UserError
from geo_nemo.metadata.geography import continent_name, countries, country_code


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record comes from, and by what evidence.

    evidence: `field`, `outlet`, `domain` (national) or `likely` (.gov, .mil, .edu).
    continent_replaced: the record named another continent that the country also belongs to, and
        was given that of the table.
    """

    country: str
    continent: str
    evidence: str
    continent_replaced: bool


class OriginRules:
    """Applies the rules. `listed`: the countries that are wanted; empty means all."""

    def __init__(self, outlets: dict[str, str], listed: Collection[str] = ()):
        self._outlets = outlets
        self._listed = frozenset(listed)

    def origin(self, country: str | None, continent: str | None, host: Host) -> Origin:
        """The origin of a record with these fields and host. Raises Rejected."""
        code, evidence = self._country(country, host)
        if self._listed and code not in self._listed:
            raise Rejected("country_not_listed", code)
        entry = countries()[code]
        if continent is None:
            return Origin(code, entry.continent, evidence, False)
        name = continent_name(continent)
        if name is None:
            raise Rejected("unknown_continent", repr(continent))
        if name not in entry.accepted:
            detail = f"field {name}, country {code} is in {entry.continent}"
            raise Rejected("continent_disagrees", detail)
        return Origin(code, entry.continent, evidence, name != entry.continent)

    def _country(self, field: str | None, host: Host) -> tuple[str, str]:
        outlet = self._outlet(host)
        if field is not None:
            code = country_code(field)
            if code is None:
                detail = f"{field!r} is no ISO 3166 alpha-2 code such as 'fr'"
                raise Rejected("unknown_country", detail)
            if outlet is not None and outlet != code:
                detail = f"field {code}, outlet table {outlet} for {host.name}"
                raise Rejected("country_disagrees", detail)
            if outlet is None and host.country is not None and host.country != code:
                detail = f"field {code}, national domain {host.country} of {host.name}"
                raise Rejected("country_disagrees", detail)
            return code, "field"
        if outlet is not None:
            return outlet, "outlet"
        if host.country is not None:
            return host.country, "domain"
        if host.likely is not None:
            return host.likely, "likely"
        raise Rejected("no_country", host.name)

    def _outlet(self, host: Host) -> str | None:
        """The table's country for the host or the nearest domain above it."""
        name = host.name
        while name:
            country = self._outlets.get(name)
            if country is not None or name == host.domain:
                return country
            name = name.partition(".")[2]
        return None


def load_outlets(path: str | None) -> dict[str, str]:
    """Host or domain to country: the reviewed default, and before it the user's table.

    UserError names the line of a table that cannot be read.
    """
    default = (files("data_prep.annotate") / "outlets.csv").read_text(encoding="utf-8")
    outlets = _read_table("data_prep/annotate/outlets.csv", default)
    if path is not None:
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise UserError(f"cannot read outlets={path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UserError(f"outlets={path} is not UTF-8") from None
        outlets |= _read_table(path, text)
    return outlets


def _read_table(name: str, text: str) -> dict[str, str]:
    rows = csv.reader(text.splitlines())
    header = next(rows, [])
    if [column.strip().lower() for column in header[:2]] != ["host", "country"]:
        raise UserError(f"{name}: the first line must be host,country")
    outlets: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        host = row[0].strip().lower().removesuffix(".")
        code = country_code(row[1]) if len(row) > 1 else None
        if not host or "/" in host or code is None:
            raise UserError(f"{name} line {number}: {','.join(row)[:80]!r} is no host,country")
        if outlets.get(host, code) != code:
            raise UserError(f"{name} line {number}: {host} has another country further up")
        outlets[host] = code
    return outlets
