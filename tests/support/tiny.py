"""A small store of synthetic news and a small run over it, for tests of training and evaluation."""

import gzip
import io
import json
from pathlib import Path

import sentencepiece
import xxhash

from data_prep.synth import Synth, write_corpus
from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.config import Data, MetadataPolicy, Model, Run, Stage, Train
from geo_nemo.tokenizers.load import load_tokenizer

DOCUMENTS = 600
VOCAB_SIZE = 640
NO_METADATA = MetadataPolicy(fields=())


def build_store(folder: Path) -> Path:
    """A store of synthetic news under `folder`: seven tenths of it train, three tenths test."""
    write_corpus(Synth(output=str(folder / "corpus"), documents=DOCUMENTS, questions_per_country=1))
    with gzip.open(folder / "corpus" / "news.jsonl.gz", "rt") as file:
        records = [json.loads(line) for line in file]
    tokenizer_path = folder / "tokenizer.model"
    tokenizer_path.write_bytes(_train_tokenizer([r["text"] for r in records]))
    tokenizer = load_tokenizer(tokenizer_path)
    continents = {r["country"]: r["continent"] for r in records}
    root = folder / "store"
    root.mkdir()
    writer = StoreWriter(
        root, tokenizer, tokenizer_path, sorted(continents), continents, shard_documents=256
    )
    border = DOCUMENTS * 7 // 10
    for split, chosen in (("train", records[:border]), ("test", records[border:])):
        writer.add(
            split,
            [_document(r) for r in chosen],
            tokenizer.encode_batch([f" {r['title']}\n\n" for r in chosen]),
            tokenizer.encode_batch([f" {r['text']}" for r in chosen]),
        )
    writer.finish({}, [])
    return root


def tiny_run(store: Path, output: Path, **changes) -> Run:
    """Two stages of a small model; `changes` replace whole sections of the config."""
    settings = {
        "name": "tiny",
        "output_dir": str(output),
        "seed": 7,
        "device": "cpu",
        "model": Model(
            num_layers=2,
            hidden_size=64,
            num_attention_heads=4,
            num_query_groups=2,
            ffn_hidden_size=96,
            init_method_std=0.05,
        ),
        "data": Data(store=str(store), seq_length=128, packing_window=64),
        "stages": {
            "condition": Stage(fraction=0.5, metadata=MetadataPolicy()),
            "cooldown": Stage(fraction=0.5, metadata=NO_METADATA),
        },
        "train": Train(
            steps=6, global_batch_size=8, micro_batch_size=2, lr=1e-3, min_lr=1e-4, warmup_steps=2
        ),
        "precision": {"dtype": "fp32"},
        "checkpoint": {"every_steps": 3},
        "logging": {"every_steps": 1, "batch_digest": True},
    }
    return Run.model_validate({**settings, **changes})


def _train_tokenizer(texts: list[str]) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=VOCAB_SIZE,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        user_defined_symbols=["\n", "URL:", "COUNTRY:", "CONTINENT:", "TITLE:", "CONTENT:"],
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _document(record: dict) -> StoreDocument:
    host, _, path = record["url"].removeprefix("https://").partition("/")
    key = xxhash.xxh3_64_intdigest(record["text"].encode())
    return StoreDocument(host, record["country"], f"/{path}", key)
