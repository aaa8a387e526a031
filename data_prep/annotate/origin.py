"""Country and continent of a record: its own fields, then the outlet table, then the domain.

Evidence that disagrees is never settled by a guess: the record is set aside. How far the evidence
carries is kept as a confidence. Its values order the kinds of evidence; they are no frequencies:

| confidence | the country is that of                                                   |
|------------|--------------------------------------------------------------------------|
| 0.99       | the record's field, and the outlet table or the domain says the same     |
| 0.90       | the record's field alone                                                 |
| 0.85       | the outlet table, which a person reviewed                                |
| 0.80       | an international outlet's publisher; a record's field goes before it     |
| 0.80       | the national domain, which most registries sell to foreigners too        |
| 0.50       | .gov, .mil or .edu: United States bodies, which write about everywhere   |
| 0.00       | unknown: nothing tells it, and such documents are kept                   |
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

from data_prep.annotate.outlets import NONE, default_outlets, load_outlets
from data_prep.annotate.urls import HOSTS_CACHED, Host, Url, host_facts, parse
from data_prep.quarantine import Rejected
from geo_nemo.metadata.geography import UNKNOWN, continent_name, countries, country_code

__all__ = ["CONFIDENCE", "Origin", "OriginRules", "countries_of", "load_outlets"]

CONFIDENCE = MappingProxyType(
    {
        "confirmed": 0.99,
        "field": 0.90,
        "outlet": 0.85,
        "international": 0.80,
        "domain": 0.80,
        "likely": 0.50,
        UNKNOWN: 0.0,
    }
)
_ORIGINS_CACHED = 1 << 16


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record comes from, and by what evidence.

    country, continent: UNKNOWN where nothing tells it.
    evidence: `field`, `outlet`, `international` (an outlet's publisher), `domain` (national),
        `likely` (.gov, .mil, .edu) or `unknown`.
    confidence: see the table above.
    continent_replaced: the record named another continent that the country also belongs to, and
        was given that of the table.
    """

    country: str
    continent: str
    evidence: str
    confidence: float
    continent_replaced: bool


# What records have for a country where they mean none.
_TELLS_NONE = frozenset(
    (UNKNOWN, "international", "global", "worldwide", "world", "other", "various")
)


class OriginRules:
    """Applies the rules. `listed`: the countries that are wanted; empty means all.

    keep_unknown: a record of which nothing tells the country is of UNKNOWN, rather than Rejected.

    `origin` remembers its last 65,536 answers, `host_country` 131,072 hosts.
    """

    def __init__(
        self,
        outlets: dict[str, str],
        listed: Collection[str] = (),
        keep_unknown: bool = False,
    ):
        self._outlets = outlets
        self._international = getattr(outlets, "international", frozenset())
        self._editions: dict[str, list[tuple[str, str]]] = {}
        for name, country in outlets.items():
            host, slash, path = name.partition("/")
            if slash and country != NONE:
                self._editions.setdefault(host, []).append((f"/{path}", country))
        for found in self._editions.values():
            found.sort(key=lambda edition: -len(edition[0]))
        self._with_editions = {host_facts(host).domain for host in self._editions}
        self._listed = frozenset(listed)
        self._keep_unknown = keep_unknown
        self.origin = lru_cache(_ORIGINS_CACHED)(self._origin)
        self.host_country = lru_cache(HOSTS_CACHED)(self._host_country)

    def edition(self, url: Url) -> str | None:
        """The country of the edition that a URL is of, by its path; None where it is of none."""
        if url.host.domain not in self._with_editions:
            return None
        for name in _above(url.host):
            for path, country in self._editions.get(name, ()):
                if url.path.startswith(path) and url.path[len(path) : len(path) + 1] in "/?":
                    return country
        return None

    def of_url(self, url: Url) -> tuple[str | None, str]:
        """The country that a URL tells without any field, and by what, as `host_country`."""
        edition = self.edition(url)
        return (edition, "outlet") if edition else self.host_country(url.host.name)

    def _origin(
        self, country: str | None, continent: str | None, host: Host, edition: str | None = None
    ) -> Origin:
        """The origin of a record with these fields and host. Raises Rejected.

        edition: the country of an edition, which goes before that of its host.
        """
        code, evidence, confidence = self._country(country, host, edition)
        if code == UNKNOWN:
            return Origin(UNKNOWN, UNKNOWN, evidence, confidence, False)
        if self._listed and code not in self._listed:
            raise Rejected("country_not_listed", code)
        entry = countries()[code]
        if continent is None or continent.casefold() == UNKNOWN:
            return Origin(code, entry.continent, evidence, confidence, False)
        name = continent_name(continent)
        if name is None:
            raise Rejected("unknown_continent", repr(continent[:80]))
        if name not in entry.accepted:
            detail = f"field {name}, country {code} is in {entry.continent}"
            raise Rejected("continent_disagrees", detail)
        return Origin(code, entry.continent, evidence, confidence, name != entry.continent)

    def _country(
        self, field: str | None, host: Host, edition: str | None
    ) -> tuple[str, str, float]:
        code = None
        if field is not None and field.casefold() not in _TELLS_NONE:
            code = country_code(field)
            if code is None:
                detail = f"{field[:80]!r} is neither a code (fr, FRA) nor an English name"
                raise Rejected("unknown_country", detail)
        told, by = (edition, "outlet") if edition else self.host_country(host.name)
        if code is None:
            if told is None and self._keep_unknown:
                return UNKNOWN, UNKNOWN, CONFIDENCE[UNKNOWN]
            if told is None:
                raise Rejected("no_country", host.name)
            return told, by, CONFIDENCE[by]
        if told == code:
            return code, "field", CONFIDENCE["confirmed"]
        if by in ("outlet", "domain"):
            source = "outlet table" if by == "outlet" else "national domain"
            where = "for" if by == "outlet" else "of"
            detail = f"field {code}, {source} {told} {where} {host.name}"
            raise Rejected("country_disagrees", detail)
        return code, "field", CONFIDENCE["field"]

    def _host_country(self, hostname: str) -> tuple[str | None, str]:
        """The country that a host tells without any field, and by what; `(None, "")` if none.

        Raises Rejected for a name that is no public host.
        """
        host = host_facts(hostname)
        outlet = next((name for name in _above(host) if name in self._outlets), None)
        if outlet is not None:
            country = self._outlets[outlet]
            by = "international" if outlet in self._international else "outlet"
            return (None, "") if country == NONE else (country, by)
        if host.country is not None:
            return host.country, "domain"
        if host.likely is not None:
            return host.likely, "likely"
        return None, ""

    def countries_of(self, urls: Iterable[str]) -> list[str | None]:
        """The country that each URL tells by outlet table or domain; None for one that cannot be
        parsed, has another scheme, or tells none. About a microsecond each."""
        told, found = self.host_country, []
        for url in urls:
            try:
                found.append(told(parse(url).hostname)[0])
            except Rejected:
                found.append(None)
        return found


def _above(host: Host) -> Iterator[str]:
    """A host's name and the domains above it, up to the registrable one."""
    name = host.name
    while name:
        yield name
        if name == host.domain:
            return
        name = name.partition(".")[2]


def countries_of(urls: Iterable[str]) -> list[str | None]:
    """`OriginRules.countries_of` with the default table."""
    return _default_rules().countries_of(urls)


@cache
def _default_rules() -> OriginRules:
    return OriginRules(default_outlets())
