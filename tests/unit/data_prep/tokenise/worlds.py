"""Small tokenizers of every kind, and a corpus to tokenise with them."""

import base64
import io
import json
from pathlib import Path

from sentencepiece import SentencePieceTrainer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from data_prep.engine.receipt import Receipt
from data_prep.ingest import Ingest
from geo_nemo.tokenizers.tiktoken_settings import KNOWN
from tests.unit.data_prep.splits.corpora import Corpus, document, make_corpus

LINES = [
    "The harbour council of the old town met on tuesday, and voted 12 to 7.",
    "Report 17: don't touch the naïve £5 Łódź  rates (again)!",
    "東京 and 한국어 news 😀 https://example.com/a?b=c",
] * 4
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
PATTERN = KNOWN["llama3"].pattern


def write_sentencepiece(path: Path, **options) -> Path:
    model = io.BytesIO()
    settings = {
        "model_type": "bpe",
        "vocab_size": 420,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "user_defined_symbols": ["\n", "TITLE:"],
        "minloglevel": 2,
    }
    SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, **(settings | options)
    )
    path.write_bytes(model.getvalue())
    return path


def byte_level_bpe() -> Tokenizer:
    """Llama 3's way to split, a vocabulary of a few hundred."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def write_huggingface(path: Path) -> Path:
    byte_level_bpe().save(str(path))
    return path


def write_tiktoken(path: Path) -> Path:
    pieces = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b" the", b"ol", b"old"]
    path.write_bytes(b"".join(base64.b64encode(p) + b" %d\n" % i for i, p in enumerate(pieces)))
    settings = {"pattern": PATTERN, "special_tokens": {BOS: 300, EOS: 301}}
    path.with_name(path.name + ".json").write_text(json.dumps(settings))
    return path


WRITERS = {
    "tokenizer.model": write_sentencepiece,
    "tokenizer.json": write_huggingface,
    "tokenizer.tiktoken": write_tiktoken,
}


def corpus_of(folder: Path, monkeypatch, number: int = 90, **settings) -> Corpus:
    """Documents of three countries in parts of 40, some dropped, one in another's cluster."""
    documents = [
        document(
            i,
            ("gb", "ke", "us")[i % 3],
            text=f"Report {i}.\n{LINES[i % 3]}{EOS} </s>",
            title="" if i % 7 == 0 else f"Story {i}",
            source=("now", "web")[i % 5 == 0],
            **({"url": f"http://www.news.co.uk/story/{i}"} if i % 9 == 0 else {}),
        )
        for i in range(number)
    ]
    splits = {"train": 0.6, "validation": 0.2, "test": 0.2}
    corpus = make_corpus(folder, documents, 40, splits=splits, **settings)
    corpus.dropped = {5: ("near_duplicate", 2), 60: ("duplicate_content", 2)}
    corpus.clusters = {8: 2}
    corpus.hits = set(range(20, 30))
    corpus.install(monkeypatch)
    source = {"name": "raw.jsonl", "bytes": 9, "xxh3_128": "ab"}
    receipt = Receipt(
        key="k", files={}, counts={"drops": {"empty_text": 3}, "sources": [source], "parts": []}
    )
    monkeypatch.setattr(Ingest, "receipts", lambda self: [receipt])
    return corpus


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by relative name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
