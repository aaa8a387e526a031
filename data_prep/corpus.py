"""First stage: raw files to an annotated corpus, deduplicated and split.

1. Every line is parsed, checked and given its origin; what cannot be used is quarantined.
2. Ids and texts that were seen before are quarantined, so a text under two titles is kept once.
3. Documents go to one passing file, with hash and country beside it, while each country's test
   threshold is found.
4. The passing file is dealt into `<split>-00000.jsonl.zst`, and removed.

In memory: 24 bytes a document (8 for ids, 16 for texts), and as much again while two sorted
runs are merged.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash

from data_prep.annotate.origin import OriginRules, load_outlets
from data_prep.corpus_files import (
    SUMMARY_NAME,
    CorpusSplit,
    CorpusSummary,
    CorpusWriter,
    LinesOut,
    read_lines,
)
from data_prep.digests import DigestSet
from data_prep.read.lines import Damage, Line, LineReader
from data_prep.narrow_config import Prep
from data_prep.quarantine import Quarantine, Rejected
from data_prep.records import Document, parse_record
from data_prep.split import Assignment, TestQuota
from geo_nemo.config.errors import UserError
from geo_nemo.config.files import write_synced
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.metadata.geography import continent_of
from geo_nemo.store.manifest import SPLITS, SourceEntry

BATCH = 512
QUARANTINE_NAME = "quarantine.jsonl"
_PASSING, _HASHES, _COUNTRIES = "passing.zst", "passing.hash", "passing.country"


def build_corpus(config: Prep, folder: Path, progress: Progress = no_progress) -> CorpusSummary:
    """Write the corpus of `config.input` into the empty `folder`.

    Raises UserError where no record is usable or a listed country has none.
    """
    files = config.input_files()
    rules = OriginRules(load_outlets(config.outlets), config.countries)
    quarantine = Quarantine(folder / QUARANTINE_NAME)
    try:
        first = _FirstPass(folder, config, quarantine)
        sources = []
        total = sum(file.stat().st_size for file in files)
        before = 0
        for file in files:
            reader = LineReader(file, config.max_line_bytes)
            for batch in _batches(reader):
                first.add(str(file), batch, rules)
                progress("read", before + reader.bytes_read, total, file.name)
            before += reader.bytes_read
            first.text_bytes += reader.text_bytes
            sources.append(
                SourceEntry(name=file.name, bytes=reader.bytes_read, xxh3_128=reader.digest)
            )
        first.close()
    finally:
        quarantine.close()
    _check_found(config, first, folder)
    splits = _deal(folder, config, first, progress)
    summary = CorpusSummary(
        read=first.read,
        text_bytes=first.text_bytes,
        quarantine=dict(sorted(quarantine.counts.items())),
        evidence=dict(sorted(first.evidence.items())),
        continents_replaced=first.continents_replaced,
        countries={c: continent_of(c) for c in sorted(first.country_index)},
        splits=splits,
        sources=tuple(sources),
    )
    write_synced(folder / SUMMARY_NAME, summary.model_dump_json(indent=1).encode())
    return summary


@dataclass
class _FirstPass:
    """Checks and deduplicates; writes the passing documents, their hashes and countries."""

    folder: Path
    config: Prep
    quarantine: Quarantine
    read: int = 0
    kept: int = 0
    text_bytes: int = 0
    continents_replaced: int = 0
    evidence: Counter[str] = field(default_factory=Counter)
    country_index: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = DigestSet(wide=False)
        self._contents = DigestSet(wide=True)
        self._lines = LinesOut(self.folder / _PASSING, level=1)
        self._hashes = (self.folder / _HASHES).open("wb")
        self._countries = (self.folder / _COUNTRIES).open("wb")
        self.quota = TestQuota(self.config.splits, self.config.seed)

    def add(self, file: str, batch: Sequence[Line | Damage], rules: OriginRules) -> None:
        documents: list[tuple[Line, Document]] = []
        for line in batch:
            if isinstance(line, Damage):
                self.quarantine.add(line.reason, file, line.number, line.detail)
                continue
            self.read += 1
            try:
                if line.too_long:
                    raise Rejected("line_too_long", f"{line.too_long} bytes")
                documents.append((line, parse_record(line.data, rules)))
            except Rejected as verdict:
                detail = verdict.detail
                self.quarantine.add(verdict.reason, file, line.number, detail, line.data)
        documents = self._unseen(
            file,
            documents,
            self._ids,
            "duplicate_id",
            lambda d: xxhash.xxh3_64_digest(d.id.encode()),
        )
        documents = self._unseen(
            file, documents, self._contents, "duplicate_content", lambda d: d.digest
        )
        if documents:
            self._write([document for _, document in documents])

    def close(self) -> None:
        self._lines.close()
        self._hashes.close()
        self._countries.close()

    def _unseen(
        self,
        file: str,
        documents: list[tuple[Line, Document]],
        seen: DigestSet,
        reason: str,
        digest: Callable[[Document], bytes],
    ) -> list[tuple[Line, Document]]:
        kept = []
        new = seen.add([digest(document) for _, document in documents])
        for (line, document), is_new in zip(documents, new, strict=True):
            if is_new:
                kept.append((line, document))
            else:
                # A record without an id has its digest for one: what repeats is its text.
                own_id = document.id != document.digest.hex()
                why = reason if own_id else "duplicate_content"
                self.quarantine.add(why, file, line.number, f"id {document.id}", line.data)
        return kept

    def _write(self, documents: list[Document]) -> None:
        countries = [document.origin.country for document in documents]
        hashes = np.frombuffer(b"".join(d.digest[:8] for d in documents), ">u8").astype(np.uint64)
        index = self.country_index
        codes = np.array([index.setdefault(c, len(index)) for c in countries], np.uint16)
        for document in documents:
            self.evidence[document.origin.evidence] += 1
            self.continents_replaced += document.origin.continent_replaced
        self._lines.write(b"".join(document.to_json() for document in documents))
        self._hashes.write(hashes.tobytes())
        self._countries.write(codes.tobytes())
        self.quota.add(countries, hashes)
        self.kept += len(documents)


def _batches(reader: LineReader) -> Iterator[list[Line | Damage]]:
    """Lines that are not blank, in batches of at most BATCH and about 16 MB."""
    batch: list[Line | Damage] = []
    size = 0
    for line in reader:
        if isinstance(line, Line):
            if not line.data.strip():
                continue
            size += len(line.data)
        batch.append(line)
        if len(batch) == BATCH or size > 1 << 24:
            yield batch
            batch, size = [], 0
    yield batch


def _check_found(config: Prep, first: _FirstPass, folder: Path) -> None:
    if not first.kept:
        counts = first.quarantine.counts
        reasons = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        example = (folder / QUARANTINE_NAME).read_text(encoding="utf-8").partition("\n")[0]
        raise UserError(
            f"no usable record in {', '.join(config.input)} ({reasons or 'no line'}); "
            f"first: {example[:300]}"
        )
    absent = [country for country in config.countries if country not in first.country_index]
    if absent:
        raise UserError(
            f"countries: no document from {', '.join(absent)}; give more input, or take them out "
            "of countries"
        )


def _deal(
    folder: Path, config: Prep, first: _FirstPass, progress: Progress
) -> dict[str, CorpusSplit]:
    """Deal the passing documents into the files of their splits."""
    assignment = Assignment(config.splits, config.seed, first.quota.thresholds())
    names = list(first.country_index)
    writers = [CorpusWriter(folder, split, config.shard_documents) for split in SPLITS]
    done = 0
    with (folder / _HASHES).open("rb") as hashes, (folder / _COUNTRIES).open("rb") as countries:
        for lines in read_lines(folder / _PASSING, BATCH):
            content_hash = np.frombuffer(hashes.read(8 * len(lines)), np.uint64)
            codes = np.frombuffer(countries.read(2 * len(lines)), np.uint16)
            batch_countries = [names[code] for code in codes]
            dealt = assignment.split_of(batch_countries, content_hash)
            for line, country, split in zip(lines, batch_countries, dealt, strict=True):
                writers[split].write(line, country)
            done += len(lines)
            progress("split", done, first.kept)
    for name in (_PASSING, _HASHES, _COUNTRIES):
        (folder / name).unlink()
    return {writer.split: writer.close() for writer in writers}
