"""Fills a data card from what the stages left: receipts, samples, the corpus and the store.

In memory: the sums of the receipts, and one entry a distinct host (about 150 bytes each).
"""

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_prep.card.data import (
    LENGTH_BINS,
    QUALITY_BINS,
    CardData,
    Clusters,
    CountryCount,
    Example,
    FileNote,
    HostCount,
    InputFile,
    LanguageCount,
    LostFile,
    OverlapRow,
    SplitCount,
    TokenizerFacts,
    UnplacedHost,
)
from data_prep.card.fields import MOST_VALUES, field_facts, store_fields
from data_prep.card.profile import COUNTED, HOSTS_NAME, Profile
from data_prep.card.signals import is_synthetic, signals
from data_prep.card.steps import steps
from data_prep.config import Prep
from data_prep.corpus_out.stage import FOLDER as CORPUS_FOLDER
from data_prep.corpus_out.summary import SUMMARY_NAME
from data_prep.engine import Receipt
from data_prep.ingest import UNPLACED, Ingest
from data_prep.splits import DROPS
from data_prep.unplaced import read_unplaced
from geo_nemo.metadata.geography import UNKNOWN, continent_of, countries
from geo_nemo.store.manifest import MANIFEST_NAME, SPLITS, Manifest, read_manifest

STORE_FOLDER = "store"
MOST_HOSTS = 50
LANGUAGE = "language"  # the store's field
# Of the config, what says where and how it ran, and nothing of what came out.
_NOT_SETTINGS = {"output", "execution", "keep_work"}


def gather(config: Prep) -> CardData:
    """The card of a preparation whose stages are done. Its store is optional."""
    ingested = [receipt.counts for receipt in Ingest(config).receipts()]
    profile = Profile(config)
    profiles = [receipt.counts for receipt in profile.receipts()]
    manifest = _manifest(config)
    dropped = _summed(counts["drops"] for counts in ingested)
    read, kept = (sum(counts[name] for counts in ingested) for name in ("read", "kept"))
    # Records that could not be read are not among those that were.
    unreadable = sum(dropped.values()) - (read - kept)
    outcomes = _summed(counts["outcomes"] for counts in profiles)
    dropped.update({name: outcomes[name] for name in DROPS if outcomes[name]})
    splits = {
        split: _split([counts["splits"][split] for counts in profiles], split, manifest)
        for split in SPLITS
    }
    present = sorted({country for split in splits.values() for country in split.countries})
    hosts = _hosts(profile)
    inputs = tuple(InputFile(**entry) for counts in ingested for entry in counts["sources"])
    settings = config.model_dump(mode="json", exclude=_NOT_SETTINGS)
    return CardData(
        title=_title(config),
        found=read + unreadable,
        text_bytes=sum(counts["text_bytes"] for counts in ingested),
        steps=steps(dropped),
        splits=splits,
        continents={country: continent_of(country) for country in present},
        country_names={c: UNKNOWN if c == UNKNOWN else countries()[c].name for c in present},
        languages=_languages(config, profiles, manifest),
        hosts=_most(hosts),
        distinct_hosts=len(hosts),
        clusters=_clusters(config),
        overlap=_overlap(config),
        masked=dict(sorted(_summed(counts["masked"] for counts in profiles).items())),
        tokenizer=None if manifest is None else _tokenizer(manifest),
        examples=_examples(profiles),
        inputs=inputs,
        extractors=dict(_summed(counts.get("extractors", {}) for counts in ingested)),
        truncated=dict(_summed(counts.get("truncated", {}) for counts in ingested)),
        damaged=sum(counts.get("damaged", 0) for counts in ingested),
        continents_replaced=dict(
            _summed(counts.get("continents_replaced", {}) for counts in ingested)
        ),
        unmeasured=dict(
            _summed(
                split.get("unmeasured", {})
                for counts in profiles
                for split in counts["splits"].values()
            )
        ),
        **_dates(ingested),
        **_unplaced(config),
        lost=_lost(ingested),
        notes=_notes(config, ingested),
        signals=signals(config),
        fields=field_facts(config, Path(config.output) / STORE_FOLDER, ingested),
        settings=settings,
        hashes=_hashes(config, inputs, settings),
    )


def upstream_key(config: Prep) -> str:
    """Changes with all that `gather` reads."""
    receipts: list[Receipt] = [*Ingest(config).receipts(), *Profile(config).receipts()]
    keys = [receipt.key for receipt in receipts]
    output = Path(config.output)
    for path in (output / STORE_FOLDER / MANIFEST_NAME, output / CORPUS_FOLDER / SUMMARY_NAME):
        keys.append(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
    keys += [repr(row) for row in _overlap(config)]
    keys.append(f"synthetic {is_synthetic(config)}")
    if told := Ingest(config).passed_over():
        keys.append(told)
    settings = config.model_dump(mode="json", exclude=_NOT_SETTINGS)
    return " ".join([*keys, _digest(settings)])


def _split(parts: list[dict[str, Any]], split: str, manifest: Manifest | None) -> SplitCount:
    counts = {
        name: dict(sorted(_summed(part[name] for part in parts).items()))
        for name in COUNTED.values()
    }
    text_bytes = _summed(part["text_bytes"] for part in parts)
    entry = None if manifest is None else manifest.splits.get(split)
    tokens: dict[str, int | None] = dict.fromkeys(counts["countries"])
    if entry is not None:
        tokens |= {country: found.tokens for country, found in entry.by_country.items()}
    return SplitCount(
        documents=sum(part["documents"] for part in parts),
        text_bytes=sum(text_bytes.values()),
        tokens=None if entry is None else entry.title_tokens + entry.body_tokens,
        quality=_bins([part["quality"] for part in parts], QUALITY_BINS),
        lengths=_bins([part["lengths"] for part in parts], LENGTH_BINS),
        **counts
        | {
            "countries": {
                country: CountryCount(
                    documents=documents, text_bytes=text_bytes[country], tokens=tokens[country]
                )
                for country, documents in counts["countries"].items()
            }
        },
    )


def _languages(
    config: Prep, profiles: list[dict[str, Any]], manifest: Manifest | None
) -> dict[str, LanguageCount]:
    """Known languages, those with most tokens or else bytes first."""
    sizes = _summed(
        split["language_bytes"] for counts in profiles for split in counts["splits"].values()
    )
    tokens: dict[str, int | None] = {}
    if manifest is not None and LANGUAGE in manifest.fields:
        root = Path(config.output) / STORE_FOLDER
        tokens = {value.name: value.tokens for value in store_fields(root)[LANGUAGE].top}
    names = sorted(filter(None, sizes), key=lambda n: (-(tokens.get(n) or 0), -sizes[n], n))
    return {n: LanguageCount(text_bytes=sizes[n], tokens=tokens.get(n))
            for n in names[:MOST_VALUES]}  # fmt: skip


def _hosts(profile: Profile) -> Counter[str]:
    found: Counter[str] = Counter()
    for task in profile.tasks():
        found.update(orjson.loads((profile.task_folder(task.id) / HOSTS_NAME).read_bytes()))
    return found


def _most(hosts: Counter[str]) -> tuple[HostCount, ...]:
    most = heapq.nsmallest(MOST_HOSTS, hosts.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(HostCount(host=host, documents=documents) for host, documents in most)


def _notes(config: Prep, ingested: list[dict[str, Any]]) -> tuple[FileNote, ...]:
    found = [FileNote(**entry) for counts in ingested for entry in counts.get("notes", ())]
    if told := Ingest(config).passed_over():
        found.insert(0, FileNote(name="input", note=told))
    return tuple(found)


def _lost(ingested: list[dict[str, Any]]) -> tuple[LostFile, ...]:
    """Files that are lost; one whose pieces all are is one."""
    found = (LostFile(**entry) for counts in ingested for entry in counts.get("lost", ()))
    return tuple(dict.fromkeys(found))


def _dates(ingested: list[dict[str, Any]]) -> dict[str, Any]:
    """How many dates are ambiguous, or could not be read, and the first of each."""
    found: dict[str, Any] = {}
    for kind in ("ambiguous", "unread"):
        found[f"{kind}_dates"] = sum(counts.get(f"{kind}_dates", 0) for counts in ingested)
        firsts = (counts[f"{kind}_date"] for counts in ingested if f"{kind}_date" in counts)
        found[f"{kind}_date"] = next(firsts, "")
    return found


def _unplaced(config: Prep) -> dict[str, Any]:
    files = (folder / UNPLACED for folder in Ingest(config).done())
    found = read_unplaced(path for path in files if path.is_file())
    rows = tuple(
        UnplacedHost(host=h, documents=w.documents, dropped=w.dropped, bytes=w.bytes)
        for h, w in found.heaviest(MOST_HOSTS)
    )
    return {"unplaced": rows, "unplaced_hosts": len(found)}


def _clusters(config: Prep) -> Clusters | None:
    from data_prep.dedup.clusters import Dedup

    (receipt,) = Dedup(config).receipts()
    counts = receipt.counts
    return Clusters(
        clusters=counts["clusters"],
        documents_in_clusters=counts["documents_in_clusters"],
        other_texts=counts.get("other_texts", 0),
        largest=tuple(counts["largest_clusters"]),
    )


def _overlap(config: Prep) -> tuple[OverlapRow, ...]:
    from data_prep.overlap import report_rows

    return tuple(OverlapRow(**row) for row in report_rows(config))


def _examples(profiles: list[dict[str, Any]]) -> tuple[Example, ...]:
    lowest: dict[str, dict[str, Any]] = {}
    for counts in profiles:
        for continent, example in counts["examples"].items():
            held = lowest.get(continent)
            if held is None or int(example["draw"]) < int(held["draw"]):
                lowest[continent] = example
    return tuple(
        Example(**{name: value for name, value in lowest[continent].items() if name != "draw"})
        for continent in sorted(lowest)
    )


def _manifest(config: Prep) -> Manifest | None:
    root = Path(config.output) / STORE_FOLDER
    return read_manifest(root)[0] if (root / MANIFEST_NAME).is_file() else None


def _tokenizer(manifest: Manifest) -> TokenizerFacts:
    entry = manifest.tokenizer
    return TokenizerFacts(kind=entry.kind, vocab_size=entry.vocab_size, sha256=entry.sha256)


def _hashes(
    config: Prep, inputs: tuple[InputFile, ...], settings: dict[str, Any]
) -> dict[str, str]:
    """SHA-256, in hex, of what went in and what came out."""
    output = Path(config.output)
    found = {
        "input": _digest([entry.model_dump() for entry in inputs]),
        "settings": _digest(settings),
    }
    for name, path in (
        (f"{CORPUS_FOLDER}/{SUMMARY_NAME}", output / CORPUS_FOLDER / SUMMARY_NAME),
        (f"{STORE_FOLDER}/{MANIFEST_NAME}", output / STORE_FOLDER / MANIFEST_NAME),
    ):
        if path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _title(config: Prep) -> str:
    """Names of the sources, or of the first file where they have none of their own."""
    names = sorted({source.name for source in config.input})
    if names != ["default"]:
        return ", ".join(names)
    first = Path(config.input[0].path).name
    others = len(config.input) - 1
    return f"{first} and {others} more" if others else first


def _summed(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _bins(parts: list[list[int]], number: int) -> tuple[int, ...]:
    total = np.zeros(number, np.int64)
    for part in parts:
        total += part
    return tuple(total.tolist())


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
