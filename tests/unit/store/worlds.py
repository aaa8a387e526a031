"""A small store with known content, for tests that read or damage one."""

import io
from pathlib import Path

from sentencepiece import SentencePieceTrainer

from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.tokenizers.load import load_tokenizer

DOCUMENTS = [
    StoreDocument("bbc.co.uk", "gb", "/news/1", 11, year=2024, quality=80, source="now"),
    StoreDocument("nation.africa", "ke", "", 2**64 - 1),
    StoreDocument(
        "bbc.co.uk", "gb", "/é?a=1", 13, year=2011, quality=100, source="now", cluster=11,
        scheme="http",
    ),
    StoreDocument("nytimes.com", "us", "/2020/x", 14, year=1999, quality=7, source="now"),
    StoreDocument(
        "the-star.co.ke", "ke", "/", 15, year=2024, quality=55, source="web", cluster=2**63,
        scheme="http",
    ),
]  # fmt: skip
TITLES = [[], [10, 11], [12], [13, 14, 15], []]
BODIES = [[20], [21, 22, 23], [], [24, 25], [26, 27, 28, 29]]


def write_tokenizer(path: Path) -> None:
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["some words to learn from"] * 5),
        model_writer=model,
        model_type="bpe",
        vocab_size=280,
        byte_fallback=True,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())


def write_store(root: Path, shard_documents: int = 2, others_first: bool = False) -> Path:
    """DOCUMENTS as the split train, in three shards; validation and test are empty.

    others_first: two documents of another country, host and source stand before them.
    """
    write_tokenizer(root / "spm.model")
    store = root / "store"
    store.mkdir()
    continents = {"gb": "Europe", "ke": "Africa", "us": "America"}
    if others_first:
        continents["dz"] = "Africa"
    writer = StoreWriter(
        root=store,
        tokenizer=load_tokenizer(root / "spm.model"),
        tokenizer_path=root / "spm.model",
        countries=list(continents),
        continents=continents,
        shard_documents=shard_documents,
    )
    if others_first:
        other = StoreDocument("aps.dz", "dz", "/1", 1, source="aps")
        writer.add("train", [other, other], [[], []], [[7], [8]])
    writer.add("train", DOCUMENTS[:3], TITLES[:3], BODIES[:3])
    writer.add("train", DOCUMENTS[3:], TITLES[3:], BODIES[3:])
    writer.finish({"empty_text": 2}, [])
    return store
