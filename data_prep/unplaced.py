"""Hosts that tell no country, by weight: what a table of outlets would have to name.

Kept by ingest, a file a task, for `geo-nemo outlets missing` and the card. In memory, some 300
bytes a host.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

NAME = "unplaced.json"


EXAMPLE_CHARACTERS = 200


@dataclass(slots=True)
class Weight:
    """documents: all, of which `kept` are in the corpus with an unknown country; bytes of text."""

    documents: int = 0
    kept: int = 0
    bytes: int = 0
    example: str = ""

    @property
    def dropped(self) -> int:
        return self.documents - self.kept


class Unplaced(dict[str, Weight]):
    """Weights by host."""

    def add(self, host: str, size: int, url: str, kept: bool) -> None:
        """Count a document; the first of a host is its example."""
        weight = self.get(host)
        if weight is None:
            from data_prep.annotate import without_credentials

            weight = self[host] = Weight(example=without_credentials(url)[:EXAMPLE_CHARACTERS])
        weight.documents += 1
        weight.kept += kept
        weight.bytes += size

    def as_json(self) -> dict[str, list[Any]]:
        return {h: [w.documents, w.kept, w.bytes, w.example] for h, w in sorted(self.items())}

    def merge(self, found: dict[str, list[Any]]) -> None:
        """Count what `as_json` gave."""
        for host, (documents, kept, size, example) in found.items():
            weight = self.setdefault(host, Weight(example=example))
            weight.documents += documents
            weight.kept += kept
            weight.bytes += size

    def heaviest(self, most: int | None = None) -> list[tuple[str, Weight]]:
        """Those with most documents first."""
        order = heapq.nsmallest(
            len(self) if most is None else most,
            self.items(),
            key=lambda entry: (-entry[1].documents, -entry[1].bytes, entry[0]),
        )
        return list(order)


def read_unplaced(files: Iterable[Path]) -> Unplaced:
    """The hosts of several tasks together."""
    found = Unplaced()
    for path in files:
        found.merge(orjson.loads(path.read_bytes()))
    return found
