"""Writes a synthetic corpus: documents, floors, questions, instructions, and `synth.json` last.

1. Shards of documents with their floors, to `.partial` files, by one or more processes.
2. Questions and instructions.
3. The old `synth.json` goes, the new files take their names, the new `synth.json` comes.
So a folder whose `synth.json` is there is whole.
"""

import datetime
import hashlib
import math
import multiprocessing
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_prep.synth.config import FORMAT, Synth
from data_prep.synth.generate import Document, Generator
from data_prep.synth.instructions import TEST, TRAIN, instructions
from data_prep.synth.likelihood import FLOOR_NAMES, Floors, Likelihood
from data_prep.synth.questions import questions
from data_prep.synth.world import World, default_world
from geo_nemo.common.files import discard, keep, make_folder, partial_file, writing
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import UserError

SUMMARY, QUESTIONS_FILE = "synth.json", "questions.jsonl"
INSTRUCTION_FILES = {TRAIN: "instructions.jsonl", TEST: "instructions_test.jsonl"}
# What floors.jsonl.gz says of a document, beside its id and url.
SIDECAR = (
    "title_with", "body_with", "title_without", "body_without", "body_country", "body_continent"
)  # fmt: skip
_BLOCK = 512
# Settings of another kind of corpus.
OF_GRAMMAR = ("kind", "levels", "likely", "again", "prompts", "sentences")
_OURS = re.compile(r"(news|floors)(-\d{5}-of-\d{5})?\.jsonl\.gz(\.partial)?")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class ShardCounts:
    """What one shard adds to the summary. Words are those of title and body, by blanks."""

    documents: list[int]  # by country
    words: list[int]  # by country
    shortest: int
    longest: int
    floors: list[float]  # sum by name of FLOOR_NAMES, nats


def record(world: World, seed: int, document: Document) -> dict[str, str]:
    """A document as a line of the corpus."""
    country = world.host_country[document.host]
    date = datetime.date.fromordinal(document.date)
    slug = _NOT_SLUG.sub("-", document.title.lower()).strip("-")
    return {
        "id": document_id(seed, document.index),
        "url": f"https://{world.hosts[document.host]}/{date:%Y}/{date:%m}/{slug}",
        "title": document.title,
        "text": document.body,
        "country": world.countries[country],
        "continent": world.continents[country],
        "date": date.isoformat(),
    }


def document_id(seed: int, index: int) -> str:
    return f"s{seed}-{index:08d}"


def document_floors(config: Synth, ids: Iterable[str]) -> Floors:
    """Floors of the documents with these ids, in order, from the config alone.

    UserError when an id is not of this corpus.
    """
    world = default_world()
    generator = Generator(world, config.seed, config.signal, config.style)
    documents = []
    for name in ids:
        prefix, _, digits = name.partition("-")
        index = int(digits) if digits.isascii() and digits.isdigit() else config.documents
        if prefix != f"s{config.seed}" or index >= config.documents:
            raise UserError(f"{name!r} is no document of the corpus with seed {config.seed}")
        documents.extend(generator.documents(index, index + 1))
    return Likelihood(world, config.signal, config.style).floors(documents)


def shard_paths(config: Synth) -> list[tuple[Path, Path]]:
    """The corpus file and the floors file of each shard."""
    folder = Path(config.output)
    if config.shards == 1:
        return [(folder / "news.jsonl.gz", folder / "floors.jsonl.gz")]
    tags = [f"{shard:05d}-of-{config.shards:05d}" for shard in range(config.shards)]
    return [(folder / f"news-{tag}.jsonl.gz", folder / f"floors-{tag}.jsonl.gz") for tag in tags]


def write_corpus(config: Synth, progress: Progress = no_progress) -> dict[str, Any]:
    """Write the corpus into `config.output` and return the content of its `synth.json`.

    UserError when something cannot be written. An older corpus there stays whole until the new one
    is written out; from then until the new `synth.json` is there, there is none.
    """
    folder = Path(config.output)
    make_folder(folder)
    pairs = shard_paths(config)
    others = [folder / name for name in (QUESTIONS_FILE, *INSTRUCTION_FILES.values())]
    paths = [path for pair in pairs for path in pair] + others
    try:
        counts = _write_shards(config, progress)
        world = default_world()
        found = {QUESTIONS_FILE: questions(world, config.seed, config.questions_per_country)}
        for split, name in INSTRUCTION_FILES.items():
            found[name] = instructions(world, config.seed, split)
        for name, records in found.items():
            with partial_file(folder / name) as out:
                out.writelines(orjson.dumps(each) + b"\n" for each in records)
        with writing(folder / SUMMARY):
            (folder / SUMMARY).unlink(missing_ok=True)
        for path in paths:
            keep(path)
    except BaseException:
        for path in paths:
            discard(path)
        raise
    remove_stale(folder, {path.name for path in paths})
    summary = _summary(config, counts, paths)
    with partial_file(folder / SUMMARY) as out:
        out.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    keep(folder / SUMMARY)
    return summary


def _write_shards(config: Synth, progress: Progress) -> list[ShardCounts]:
    total = config.documents
    progress("synth", 0, total)
    if config.workers == 1 or config.shards == 1:
        return [write_shard(config, shard, progress) for shard in range(config.shards)]
    workers = min(config.workers, config.shards)
    context = multiprocessing.get_context("spawn")
    counts: list[ShardCounts | None] = [None] * config.shards
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        shard_of = {pool.submit(write_shard, config, shard): shard for shard in range(len(counts))}
        done = 0
        try:
            for finished in as_completed(shard_of):
                result = finished.result()
                counts[shard_of[finished]] = result
                done += sum(result.documents)
                progress("synth", done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [result for result in counts if result is not None]


def write_shard(config: Synth, shard: int, progress: Progress = no_progress) -> ShardCounts:
    """Write one shard's `.partial` files; documents [start, stop) of the corpus."""
    world = default_world()
    generator = Generator(world, config.seed, config.signal, config.style)
    likelihood = Likelihood(world, config.signal, config.style)
    start, stop = (config.documents * (shard + part) // config.shards for part in (0, 1))
    documents, words = [0] * len(world.countries), [0] * len(world.countries)
    lengths: list[int] = []
    sums = np.zeros(len(FLOOR_NAMES))
    news_path, floors_path = shard_paths(config)[shard]
    with partial_file(news_path) as news, partial_file(floors_path) as sidecar:
        for first, block in _blocks(generator, start, stop):
            floors = likelihood.floors(block)
            sums += [getattr(floors, name).sum() for name in FLOOR_NAMES]
            columns = [getattr(floors, name).tolist() for name in SIDECAR]
            for document, *nats in zip(block, *columns, strict=True):
                line = record(world, config.seed, document)
                country = world.host_country[document.host]
                length = len(document.title.split()) + len(document.body.split())
                documents[country] += 1
                words[country] += length
                lengths.append(length)
                news.write(orjson.dumps(line) + b"\n")
                entry = {"id": line["id"], "url": line["url"]}
                entry |= {name: round(x, 6) for name, x in zip(SIDECAR, nats, strict=True)}
                sidecar.write(orjson.dumps(entry) + b"\n")
            lengths = [min(lengths), max(lengths)]
            progress("synth", first + len(block), config.documents)
    return ShardCounts(documents, words, lengths[0], lengths[1], sums.tolist())


def _blocks(
    generator: Generator, start: int, stop: int
) -> Iterator[tuple[int, Sequence[Document]]]:
    for first in range(start, stop, _BLOCK):
        yield first, list(generator.documents(first, min(first + _BLOCK, stop)))


def remove_stale(folder: Path, current: set[str]) -> None:
    """Shards of an earlier corpus would be read as this one's; what a killed run left goes too."""
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in current:
            with writing(path):
                path.unlink()


def _summary(config: Synth, counts: list[ShardCounts], paths: list[Path]) -> dict[str, Any]:
    world = default_world()
    totals = {
        name: math.fsum(shard.floors[number] for shard in counts)
        for number, name in enumerate(FLOOR_NAMES)
    }
    mean = {name: total / config.documents for name, total in totals.items()}
    by_country = {
        country: {
            "continent": world.continents[number],
            "documents": sum(shard.documents[number] for shard in counts),
            "words": sum(shard.words[number] for shard in counts),
        }
        for number, country in enumerate(world.countries)
    }
    return {
        "format": FORMAT,
        "config": config.model_dump(exclude={"output", "workers", *OF_GRAMMAR}),
        "hosts": len(world.hosts),
        "countries": by_country,
        "words": {
            "total": sum(country["words"] for country in by_country.values()),
            "shortest": min(shard.shortest for shard in counts),
            "longest": max(shard.longest for shard in counts),
        },
        "nats_per_document": mean,
        "nats_total": totals,
        "gain": {
            "unit": "nats per document that ideal models gain from the host",
            "title": mean["title_without"] - mean["title_with"],
            "body": mean["body_without"] - mean["body_with"],
            "facts_alone": mean["gain_facts"],
            "style_alone": mean["gain_style"],
            "ceiling": math.log(len(world.hosts)),
        },
        "files": [
            {"path": path.name, "bytes": os.path.getsize(path), "sha256": _sha256(path)}
            for path in paths
        ],
    }


def _sha256(path: Path) -> str:
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
