"""Documents that a file names, a line each: by URL, by host, by hash.

    https://www.example.com/news/1     this document, whatever its scheme
    example.com, example.com/sport     every document of the host, or below the path
    9f86d081884c7d65                   the document with this hash, as `store inspect` shows it

Lines of hosts are those of `annotate.block_hosts`; `#` begins a comment where a line begins.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.annotate.host_lists import HostList, host_entry, list_text
from data_prep.annotate.urls import parse_url
from data_prep.quarantine import Rejected
from data_prep.store_tools.columns import stored_paths
from data_prep.store_tools.where import Matcher
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from geo_nemo.store.paths import split_scheme
from geo_nemo.store.shard import Shard

_HASH = re.compile(r"(?:0x)?[0-9a-f]{16}", re.IGNORECASE)


@dataclass
class Listed:
    """What a file names. urls: paths by host. hosts: with the beginnings of their paths."""

    urls: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    hosts: list[tuple[str, str]] = field(default_factory=list)
    hashes: set[int] = field(default_factory=set)

    def matcher(self, store: TokenStore) -> Matcher:
        """Tells which documents of a shard are named, bool [n]."""
        hashes = np.array(sorted(self.hashes), np.uint64)
        listed = HostList(self.hosts)
        beginnings = [listed.beginnings(host) for host in store.hosts]
        whole = np.array(["/" in found for found in beginnings], bool)
        listed_paths = np.array([host in self.urls for host in store.hosts], bool)
        partly = listed_paths | np.array([bool(found) for found in beginnings], bool)

        def mask(shard: Shard) -> np.ndarray:
            host = shard.host
            chosen = np.isin(shard.content_hash, hashes) | whole[host]
            rows = np.flatnonzero(partly[host] & ~chosen)
            for row, stored in zip(rows.tolist(), stored_paths(shard, rows), strict=True):
                path, number = split_scheme(stored)[1], int(host[row])
                exact = path in self.urls.get(store.hosts[number], ())
                chosen[row] = exact or path.startswith(beginnings[number])
            return chosen

        return mask

    def without(self, removed: Iterable[tuple[str, str]]) -> list[str]:
        """Names, as they can be written again, that none of some documents has.

        removed: hash of 16 hex digits and URL of each.
        """
        left = {f"{number:016x}" for number in self.hashes}
        left |= {f"https://{host}{path}" for host, paths in self.urls.items() for path in paths}
        hosts = defaultdict(set)
        for host, beginning in self.hosts:
            hosts[host].add(beginning)
            left.add(host + beginning.removesuffix("/"))
        for digits, url in removed:
            rest = url.partition("://")[2]
            left -= {digits, f"https://{rest}"}
            host, slash, below = rest.partition("/")
            while host:
                for beginning in hosts.get(host, ()):
                    if (slash + below).startswith(beginning):
                        left.discard(host + beginning.removesuffix("/"))
                host = host.partition(".")[2]
        return sorted(left)


def read_listed(path: Path) -> Listed:
    """The names in a file. Raises UserError, with the line, for what is none."""
    found = Listed()
    for number, line in enumerate(list_text("--list", str(path)).splitlines(), 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        place = f"--list {path} line {number}"
        if _HASH.fullmatch(name):
            found.hashes.add(int(name, 16))
        elif "://" not in name:
            found.hosts.append(host_entry(place, name))
        else:
            try:
                url = parse_url(name)
            except Rejected as error:
                raise UserError(f"{place}: {name[:80]!r}: {error.detail}") from None
            found.urls[url.host.name].add(url.path)
    if not (found.urls or found.hosts or found.hashes):
        raise UserError(f"--list {path} names nothing: give a URL, a host or a hash a line")
    return found
