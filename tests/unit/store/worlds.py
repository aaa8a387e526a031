"""A small store with known content, for tests that read or damage one."""

import io
from pathlib import Path

from sentencepiece import SentencePieceTrainer

from data_prep.store_writer import StoreDocument, StoreWriter
from geo_nemo.metadata.tokenizer import load_tokenizer

DOCUMENTS = [
    StoreDocument("bbc.co.uk", "gb", "/news/1", 11),
    StoreDocument("nation.africa", "ke", "", 2**64 - 1),
    StoreDocument("bbc.co.uk", "gb", "/é?a=1", 13),
    StoreDocument("nytimes.com", "us", "/2020/x", 14),
    StoreDocument("the-star.co.ke", "ke", "/", 15),
]
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


def write_store(root: Path, shard_documents: int = 2) -> Path:
    """DOCUMENTS as the split train, in three shards; validation and test are empty."""
    write_tokenizer(root / "spm.model")
    store = root / "store"
    store.mkdir()
    writer = StoreWriter(
        root=store,
        tokenizer=load_tokenizer(root / "spm.model"),
        tokenizer_path=root / "spm.model",
        countries=["gb", "ke", "us"],
        continents={"gb": "Europe", "ke": "Africa", "us": "America"},
        shard_documents=shard_documents,
    )
    writer.add("train", DOCUMENTS[:3], TITLES[:3], BODIES[:3])
    writer.add("train", DOCUMENTS[3:], TITLES[3:], BODIES[3:])
    writer.finish({"empty_text": 2}, [])
    return store
