"""Files that say which hosts a corpus may have: lists to allow or block, and who opted out.

A list has a host a line, `#` begins a comment; `example.com` covers `www.example.com`, and
`example.com/sport` what stands below a path. A table (CSV with a header that names `host`) may have
a column `path` as well, as rows of robots.txt or ai.txt do: `host,agent,path`; every row counts,
and a path ends where `*` begins. Where a column `rule` says so, rows that allow count for nothing,
and neither does one that disallows no path. Values are parted by comma, semicolon, tab or bar.
"""

import csv
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from data_prep.annotate.urls import Url, host_facts, parse
from data_prep.config import Annotate
from data_prep.quarantine import Rejected
from geo_nemo.common.errors import UserError

MAX_LIST_BYTES = 1 << 30
_DELIMITERS = (";", "\t", "|", ",")
_RULES = ("rule", "directive")
_ROBOTS = re.compile(r"\s*(?:user-agent|disallow|allow|sitemap|crawl-delay)\s*:", re.IGNORECASE)


class HostList:
    """Hosts, each with the beginnings of paths that are meant; `/` is all of them."""

    def __init__(self, entries: Iterable[tuple[str, str]]):
        paths: dict[str, list[str]] = {}
        for host, path in entries:
            paths.setdefault(host, []).append(path)
        self._paths = {host: tuple(found) for host, found in paths.items()}

    def __contains__(self, url: Url) -> bool:
        return url.path.startswith(self.beginnings(url.host.name))

    def beginnings(self, host: str) -> tuple[str, ...]:
        """Beginnings of paths that are meant at a host, by its own name or by one above it."""
        found: tuple[str, ...] = ()
        while host:
            found += self._paths.get(host, ())
            host = host.partition(".")[2]
        return found


class HostLists:
    """The lists of a config. Raises UserError for one that cannot be read."""

    def __init__(self, annotate: Annotate):
        allowed, blocked = annotate.allow_hosts, annotate.block_hosts
        self._allowed = HostList(_entries("annotate.allow_hosts", (allowed,))) if allowed else None
        self._blocked = HostList(_entries("annotate.block_hosts", blocked)) if blocked else None
        opted = annotate.opt_out
        self._opted_out = HostList(_entries("annotate.opt_out", opted)) if opted else None

    def check(self, url: Url) -> None:
        """Raise Rejected where a page must not be in the corpus."""
        if self._opted_out is not None and url in self._opted_out:
            raise Rejected("opted_out", url.host.name)
        if self._blocked is not None and url in self._blocked:
            raise Rejected("host_blocked", url.host.name)
        if self._allowed is not None and url not in self._allowed:
            raise Rejected("host_not_allowed", url.host.name)


def lists_key(annotate: Annotate) -> str:
    """Changes with the content of every list; empty where there is none."""
    allowed = (annotate.allow_hosts,) if annotate.allow_hosts else ()
    digests = []
    for key in ("allow_hosts", "block_hosts", "opt_out"):
        paths = allowed if key == "allow_hosts" else getattr(annotate, key)
        digests += [
            f"{key} {hashlib.sha256(list_text(f'annotate.{key}', path).encode()).hexdigest()}"
            for path in paths
        ]
    return "\0".join(digests)


def _entries(key: str, paths: Iterable[str]) -> Iterable[tuple[str, str]]:
    for path in paths:
        lines = list_text(key, path).splitlines()
        for sign in _DELIMITERS:
            header = [c.strip().lower() for c in next(csv.reader(lines[:1], delimiter=sign), [])]
            if "host" in header:
                break
        if "host" in header:
            rows = csv.DictReader(lines[1:], header, delimiter=sign)
            for number, row in enumerate(rows, start=2):
                host, below = ((row.get(name) or "").strip() for name in ("host", "path"))
                if host and _counts(row, below):
                    yield host_entry(f"{key}={path} line {number}", host + (below or "/"))
            continue
        first = next((line for line in lines if line.partition("#")[0].strip()), "")
        if _ROBOTS.match(first):
            raise UserError(
                f"{key}={path} is a robots.txt, which names no host: make a table of it, with a "
                "line host,rule,path (news.com,Disallow,/sport) for each rule"
            )
        for number, line in enumerate(lines, start=1):
            if written := line.partition("#")[0].strip():
                yield host_entry(f"{key}={path} line {number}", written)


def _counts(row: dict[str, str | None], path: str) -> bool:
    """Whether a row of a table says that a page must not be taken."""
    rule = next(((row.get(name) or "").strip().lower() for name in _RULES if name in row), "")
    return not (rule.startswith("allow") or (rule.startswith("disallow") and not path))


def host_entry(place: str, written: str) -> tuple[str, str]:
    """A host and the beginning of a path, of a line. place: where it stands, for the UserError."""
    host, _, below = written.removeprefix("https://").removeprefix("http://").partition("/")
    below = below.partition("*")[0].removesuffix("$")
    try:
        # As the path of a document's URL is written: other letters than ASCII's by their codes.
        url = parse(f"https://{host.removeprefix('*.')}/{below}")
        return host_facts(url.hostname).name, url.pathname + url.search
    except Rejected:
        raise UserError(f"{place}: {written[:80]!r} is no host") from None


def list_text(key: str, path: str) -> str:
    """The text of a list. key: the setting that names it. UserError where it cannot be read."""
    try:
        if Path(path).stat().st_size > MAX_LIST_BYTES:
            raise UserError(f"{key}={path} is over {MAX_LIST_BYTES >> 30} GiB: is it a list?")
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {key}={path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{key}={path} is not UTF-8") from None
