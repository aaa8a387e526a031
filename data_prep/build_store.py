"""Third stage: the corpus, tokenised once, to a token store."""

from pathlib import Path

import orjson

from data_prep.corpus_files import CorpusSummary, read_lines
from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.metadata.tokenizer import Tokenizer
from geo_nemo.store.manifest import SPLITS, Manifest

# Enough for every core of a batch-parallel tokenizer, small enough for its list of ids.
BATCH, BATCH_BYTES = 1024, 1 << 22


def build_store(
    corpus: Path,
    summary: CorpusSummary,
    tokenizer: Tokenizer,
    tokenizer_path: Path,
    shard_documents: int,
    folder: Path,
    progress: Progress = no_progress,
) -> Manifest:
    """Write a token store of the corpus in folder `corpus` into the empty `folder`.

    Titles are encoded as `" " + title + "\\n\\n"`, bodies as `" " + text`, apart, as the labels
    `TITLE:` and `CONTENT:` that go before them are.
    """
    writer = StoreWriter(
        root=folder,
        tokenizer=tokenizer,
        tokenizer_path=tokenizer_path,
        countries=sorted(summary.countries),
        continents=summary.countries,
        shard_documents=shard_documents,
    )
    total = sum(split.documents for split in summary.splits.values())
    done = 0
    try:
        for name in SPLITS:
            for file in summary.splits[name].files:
                for lines in read_lines(corpus / file.name, BATCH, BATCH_BYTES):
                    _add(writer, tokenizer, name, lines)
                    done += len(lines)
                    progress("tokenise", done, total, name)
        return writer.finish(summary.quarantine, summary.sources)
    except BaseException:
        writer.abandon()
        raise


def _add(writer: StoreWriter, tokenizer: Tokenizer, split: str, lines: list[bytes]) -> None:
    records = [orjson.loads(line) for line in lines]
    titles = [f" {record['title']}\n\n" if record["title"] else "" for record in records]
    bodies = [" " + record["text"] for record in records]
    documents = [
        StoreDocument(
            host=record["host"],
            country=record["country"],
            path=record["path"],
            content_hash=int(record["hash"][:16], 16),
        )
        for record in records
    ]
    # One call for both keeps all cores busy: titles alone are too short.
    ids = tokenizer.encode_batch(titles + bodies)
    writer.add(split, documents, ids[: len(titles)], ids[len(titles) :])
