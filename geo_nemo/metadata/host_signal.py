"""How much of a country its host alone tells: a national domain, and a line through characters.

A model that is told `bbc.co.uk` is told Britain. What a gain from hosts is worth beside one from
countries hangs on how far the one tells the other, also of hosts that were never seen.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo_nemo.common.ridge import Probe, probe
from geo_nemo.metadata.geography import countries

# Pieces of a host, the most frequent ones; and hosts, so that a probe is a matter of a second.
MOST_PIECES, MOST_HOSTS, LENGTHS = 1024, 4000, (1, 2, 3, 4)
TESTED = 0.3
_ALIASES = {"uk": "gb"}


@dataclass(frozen=True)
class HostSignal:
    """Of distinct hosts with a known country.

    national: fraction whose last label is a country's own domain; agreeing: fraction of those
    whose country it is. whole, stem: probes of the host's characters with and without its last
    label; None where there are too few.
    """

    hosts: int
    countries: int
    national: float
    agreeing: float
    whole: Probe | None
    stem: Probe | None


def host_signal(hosts: Sequence[str], codes: Sequence[str]) -> HostSignal | None:
    """hosts: distinct. codes: of their countries; empty where not known. None without any."""
    known = [(host, code) for host, code in zip(hosts, codes, strict=True) if host and code]
    if not known:
        return None
    known = sorted(known, key=lambda pair: zlib.crc32(pair[0].encode()))[:MOST_HOSTS]
    labels = np.array([code for _, code in known])
    named = [national(host) for host, _ in known]
    there = [(mine, code) for mine, code in zip(named, labels.tolist(), strict=True) if mine]
    # Hosts of one registered name stay together, for they share their characters.
    family = [_family(host) for host, _ in known]
    tested = np.array([zlib.crc32(f"test {name}".encode()) / 2**32 < TESTED for name in family])
    probes = [
        probe(pieces([cut(host) for host, _ in known], ~tested), labels, tested)
        for cut in (str, stem)
    ]
    return HostSignal(
        len(known), len(set(labels.tolist())), len(there) / len(known),
        sum(mine == code for mine, code in there) / len(there) if there else 0.0, *probes,
    )  # fmt: skip


def national(host: str) -> str:
    """The country of a host's last label, where that is a country's domain; else empty."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    code = _ALIASES.get(last, last)
    return code if code in countries() else ""


def stem(host: str) -> str:
    """A host without what is lent by a registry, and so without its national domain."""
    labels = host.rstrip(".").split(".")
    kept = labels[:-1]
    # co.uk, com.ng: a short label before a national domain is the registry's.
    if len(kept) > 1 and len(labels[-1]) == 2 and len(kept[-1]) <= 3:
        kept = kept[:-1]
    return ".".join(kept)


def pieces(texts: Sequence[str], fitted: np.ndarray) -> np.ndarray:
    """Which pieces of one to four characters each text has, float32 [n, d]; marks at its ends.

    The pieces are the most frequent ones among the texts that are `fitted`, bool [n].
    """
    found = [
        {
            f"^{text}$"[at : at + length]
            for length in LENGTHS
            for at in range(len(text) + 3 - length)
        }
        for text in texts
    ]
    counts = Counter(
        piece for mine, counted in zip(found, fitted, strict=True) if counted for piece in mine
    )
    ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))[:MOST_PIECES]
    column = {piece: number for number, piece in enumerate(ranked)}
    table = np.zeros((len(texts), len(ranked)), np.float32)
    for row, mine in enumerate(found):
        table[row, [column[piece] for piece in mine if piece in column]] = 1
    return table


def _family(host: str) -> str:
    return stem(host).rpartition(".")[2]
