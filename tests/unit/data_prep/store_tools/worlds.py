"""Tokenizers of three kinds and small stores of real text, for the tests of store tools."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sentencepiece

from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.tokenizers.load import load_tokenizer

CONTINENTS = {"gb": "Europe", "ie": "Europe", "ke": "Africa", "us": "America"}
LABELS = ["\n", "URL:", "COUNTRY:", "CONTINENT:", "TITLE:", "CONTENT:"]
CORPUS = [
    f"URL: www.{name}.co.{cc}/news/{i}/\nCOUNTRY: {cc}\nCONTINENT: {continent}\n\nTITLE: {name} "
    f'says, again!\n\nCONTENT: The {name} of the day; it\'s 25% more ({i}).\n\nHe said: "no."\n'
    f"\u2014 caf\u00e9.\n\nURL: www.{name}.co.{cc}/\nCOUNTRY: {cc}"
    for i, (name, cc, continent) in enumerate(
        [("bbc", "gb", "Europe"), ("dawn", "pk", "Asia"), ("punch", "ng", "Africa")] * 20
    )
]
# Llama-3's joins punctuation to the line ends that follow; GPT-2's keeps the last white space of a
# run for what follows.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
KINDS = ("sentencepiece", "llama_3", "gpt_2")


@dataclass(frozen=True)
class Text:
    """A document as text; `hash` and `cluster` are made of the body where they are not given."""

    body: str
    title: str = ""
    country: str = "gb"
    host: str = "news.co.uk"
    path: str = "/a/"
    scheme: str = "https"
    year: int = 0
    quality: int = 0
    source: str = "now"
    hash: int | None = None
    cluster: int | None = None
    fields: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


def write_tokenizer(folder: Path, kind: str, corpus: Sequence[str] = CORPUS) -> Path:
    """A small vocabulary of a kind of KINDS that knows the seams between parts.

    dummy_prefix: as Llama 2's, which puts a space in front of every text.
    """
    if kind in ("sentencepiece", "dummy_prefix"):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for text in corpus for line in text.split("\n")),
            model_writer=model,
            model_type="bpe",
            vocab_size=420,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=kind == "dummy_prefix",
            remove_extra_whitespaces=False,
            user_defined_symbols=LABELS,
            num_threads=1,
            minloglevel=2,
        )
        path = folder / "tokenizer.model"
        path.write_bytes(model.getvalue())
        return path
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    pattern = Regex(LLAMA_3 if kind == "llama_3" else GPT_2)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(pattern, "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=["<|begin_of_text|>", "<|end_of_text|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Line ends at the end of a text are one piece of GPT-2's vocabulary.
    tokenizer.train_from_iterator([*corpus, *["x\n\n", "x/\n\n"] * 40], trainer)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def write_store(
    root: Path,
    tokenizer_path: Path,
    splits: dict[str, Sequence[Text]],
    shard_documents: int = 3,
    continents: dict[str, str] = CONTINENTS,
    kinds: Mapping[str, str] | None = None,
) -> Path:
    """A store of texts in folder `root`; countries are those of the texts.

    kinds: of the fields of the user's own, `category` or `text`.
    """
    root.mkdir(parents=True)
    tokenizer = load_tokenizer(tokenizer_path)
    countries = sorted({text.country for texts in splits.values() for text in texts})
    writer = StoreWriter(
        root, tokenizer, tokenizer_path, countries, continents, shard_documents, kinds or {}
    )
    for split, texts in splits.items():
        writer.add(
            split,
            [_document(text) for text in texts],
            [tokenizer.encode(f" {text.title}\n\n") if text.title else [] for text in texts],
            [tokenizer.encode(f" {text.body}") for text in texts],
        )
    writer.finish({}, [])
    return root


def content_hash(body: str) -> int:
    return int(hashlib.sha256(body.encode()).hexdigest()[:16], 16)


def _document(text: Text) -> StoreDocument:
    return StoreDocument(
        host=text.host,
        country=text.country,
        path=text.path,
        content_hash=content_hash(text.body) if text.hash is None else text.hash,
        year=text.year,
        quality=text.quality,
        source=text.source,
        cluster=text.cluster,
        scheme=text.scheme,
        fields=text.fields,
    )
