"""What became of the records of a task of ingest: counts, samples of what was dropped, lost files.

A sample of each reason is kept for reading: those whose excerpt hashes lowest, so that it is a fair
one and the same in every run.
"""

import heapq
import re
from collections import Counter
from typing import Any

import orjson
import xxhash

from data_prep.quarantine import FILE_REASONS, REASONS, Rejected
from data_prep.read.record import shown
from data_prep.unplaced import Unplaced
from geo_nemo.metadata.geography import UNKNOWN

LOST_CHARACTER = "\ufffd"  # what stands for bytes that are no character


class Account:
    """What became of the records of a task."""

    def __init__(self, samples_per_reason: int):
        self.read = self.kept = self.text_bytes = 0
        self.drops: Counter[str] = Counter()
        self.evidence: Counter[str] = Counter()
        self.countries: Counter[str] = Counter()
        self.sources: list[dict[str, Any]] = []
        self.seen: tuple[str, ...] = ()
        self.unplaced = Unplaced()
        self.extractors: Counter[str] = Counter()
        self.truncated: Counter[str] = Counter()
        self.damaged = 0  # documents that have characters which nobody could read
        self.lost: list[dict[str, Any]] = []
        self._reasons: set[str] = set()  # why the file at hand is lost
        self.notes: list[dict[str, Any]] = []
        self._limit = samples_per_reason
        # Highest hash first: heaps of the samples with the lowest, by reason.
        self._samples: dict[str, list[tuple[int, int, bytes]]] = {}

    def keep(self, document: Any, fields: dict[str, Any]) -> None:
        """fields: of the record that became the document."""
        self.kept += 1
        if "extractor" in fields:
            self.extractors[fields["extractor"]] += 1
        if "truncated" in fields:
            self.truncated[fields["truncated"]] += 1
        self.damaged += LOST_CHARACTER in document.text or LOST_CHARACTER in document.title
        self.evidence[document.evidence] += 1
        if document.country == UNKNOWN:
            size = len(document.text.encode())
            self.unplaced.add(document.host, size, document.url, kept=True)
        self.countries[document.country] += 1

    def drop(self, file: str, record: Any, verdict: Rejected) -> None:
        if verdict.reason == "no_country":
            text, url = (_said(record.fields.get(name)) for name in ("text", "url"))
            self.unplaced.add(verdict.detail, len(text.encode("utf-8", "replace")), url, False)
        self.refuse(file, record.number, verdict.reason, verdict.detail, record.excerpt)

    def refuse(self, file: str, number: int, reason: str, detail: str, excerpt: bytes) -> None:
        from data_prep.annotate import without_credentials

        assert "." in reason or reason in REASONS, reason
        # A file that is refused is not one record; `lose` has it.
        if number:
            self.drops[reason] += 1
        rank = xxhash.xxh3_64_intdigest(b"%d %b" % (number, excerpt))
        heap = self._samples.setdefault(reason, [])
        if self._limit == 0 or (len(heap) == self._limit and -heap[0][0] <= rank):
            return
        sample = {
            "reason": reason,
            "file": file,
            "number": number,
            "detail": without_credentials(detail)[:300],
            "excerpt": without_credentials(excerpt.decode("utf-8", "replace")),
        }
        entry = (-rank, number, orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE))
        (heapq.heappushpop if len(heap) == self._limit else heapq.heappush)(heap, entry)

    def lose(self, name: str, bad: Any, records: int) -> None:
        """Keep the name of a file of which more is lost than a record, once for each reason.

        `records` were read.
        """
        from data_prep.annotate import without_credentials

        of_file = bad.number == 0 or bad.reason in FILE_REASONS
        if of_file and bad.reason not in self._reasons:
            self._reasons.add(bad.reason)
            detail = without_credentials(bad.detail)[:300]
            self.lost.append(
                {"name": name, "reason": bad.reason, "detail": detail, "records": records}
            )

    def finish_file(self, path: str, shown: str, reader: Any) -> None:
        self._reasons.clear()
        self.text_bytes += reader.text_bytes
        self.seen = self.seen or reader.seen
        if reader.note:
            self.notes.append({"name": shown, "note": reader.note})
        name = path.rstrip("/").rpartition("/")[2]
        self.sources.append({"name": name, "bytes": reader.bytes_read, "xxh3_128": reader.digest})

    def samples(self) -> bytes:
        """The samples as JSON Lines, by reason."""
        entries = (sorted(self._samples[reason]) for reason in sorted(self._samples))
        return b"".join(line for heap in entries for _, _, line in reversed(heap))

    def counts(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "kept": self.kept,
            "text_bytes": self.text_bytes,
            "drops": dict(sorted(self.drops.items())),
            "evidence": dict(sorted(self.evidence.items())),
            "countries": dict(sorted(self.countries.items())),
            "sources": self.sources,
            "extractors": dict(sorted(self.extractors.items())),
            "truncated": dict(sorted(self.truncated.items())),
            "damaged": self.damaged,
            "lost": self.lost,
            "notes": self.notes,
        }


def _said(value: Any) -> str:
    """Text of a field, which may be the one value of a list or object."""
    while isinstance(value, list | dict) and value:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value if isinstance(value, str) else ""


def shown_name(path: str, given: str) -> str:
    """A file's path below what a source names of its folder, as cards show it."""
    fixed = given[: re.search(r"[*?\[]|$", given).start()]
    folder = fixed if fixed == given and path != given else fixed.rpartition("/")[0]
    below = path.removeprefix(folder).lstrip("/")
    return shown(below or path.rpartition("/")[2])
