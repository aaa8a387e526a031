"""A small store, run directories without weights, and a bigram model that knows countries."""

import gc
import json
import weakref
import zlib
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as HubTokenizer
from tokenizers import decoders, models, pre_tokenizers

from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.config import Data, MetadataPolicy, Model, Run, Stage, Train
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.load import load_tokenizer
from geo_nemo.train.checkpoint.files import read_record, write_record

CONTINENTS = {"gb": "Europe", "ie": "Europe", "ke": "Africa", "ng": "Africa", "jm": "America"}
COUNTRIES = tuple(sorted(CONTINENTS))
HOSTS = {c: (f"news.{c}", f"post.{c}") for c in COUNTRIES}
VOCAB = 259


def byte_tokenizer(folder: Path) -> tuple[Tokenizer, Path]:
    """One token a byte, so that a test can think in characters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    hub = HubTokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    hub.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    hub.decoder = decoders.ByteLevel()
    hub.add_special_tokens(["<s>", "</s>", "<pad>"])
    path = folder / "tokenizer.json"
    hub.save(str(path))
    return load_tokenizer(path), path


def texts(number: int, seed: int = 0) -> list[tuple[str, str, str, str]]:
    """(country, host, title, body); every country has its own letters. No document of jm."""
    rng = np.random.default_rng(seed)
    found = []
    for n in range(number):
        country = COUNTRIES[n % len(COUNTRIES)]
        country = "gb" if country == "jm" else country
        letters = country * 3 + "abc"
        host = HOSTS[country][int(rng.integers(2))]
        title = "".join(rng.choice(list(letters), 5)) if n % 7 else ""
        body = "".join(rng.choice(list(letters), int(rng.integers(5, 60))))
        found.append((country, host, title, body))
    return found


def make_store(
    folder: Path, documents: list[tuple[str, str, str, str]], train: int = 2
) -> TokenStore:
    """A store whose test split is `documents`; train has some of them, under other hashes."""
    (folder / "raw").mkdir(parents=True)
    tokenizer, path = byte_tokenizer(folder / "raw")
    root = folder / "store"
    root.mkdir()
    writer = StoreWriter(root, tokenizer, path, COUNTRIES, CONTINENTS, shard_documents=16)
    for split, part in (("train", documents[:train]), ("test", documents)):
        writer.add(
            split,
            [
                StoreDocument(host, country, f"/{n}", zlib.crc32(f"{split} {body}".encode()))
                for n, (country, host, _, body) in enumerate(part)
            ],
            [tokenizer.encode(f" {title}\n\n") if title else [] for _, _, title, _ in part],
            [tokenizer.encode(f" {body}") for *_, body in part],
        )
    writer.finish({"text is empty": 3}, [])
    return TokenStore.open(root)


def make_run(
    folder: Path,
    store: TokenStore,
    *,
    fields: tuple[str, ...],
    step: int = 100,
    seq_length=256,
    template="localization",
) -> Path:
    """What a finished training leaves, without weights."""
    run = Run(
        name=folder.name,
        output_dir=str(folder),
        model=Model(
            num_layers=2, hidden_size=8, num_attention_heads=2, num_query_groups=2,
            ffn_hidden_size=16,
        ),
        data=Data(store=str(store.root), seq_length=seq_length),
        stages={
            name: Stage(fraction=fraction, metadata=MetadataPolicy(fields=told, template=template))
            for name, fraction, told in (("condition", 0.9, fields), ("cooldown", 0.1, ()))
        },
        train=Train(steps=100, global_batch_size=4, warmup_steps=10),
    )  # fmt: skip
    checkpoint = folder / "checkpoints" / f"step_{step:08d}"
    checkpoint.mkdir(parents=True)
    fingerprint = {"store": store.hash, "tokenizer": store.manifest.tokenizer.sha256}
    write_record(checkpoint, {"step": step, "stage_samples": {}, "fingerprint": fingerprint}, {})
    (folder / "run.json").write_text(json.dumps({
        "name": folder.name, "command": ["geo-nemo", "train"], "parameters": 12_345,
        "config": run.model_dump(mode="json"), "store_hash": store.hash, "vocab_size": VOCAB,
        "versions": {"torch": "2.6"}, "started": "2026-01-02T03:04:05",
        "policy_hashes": {n: s.metadata.hash() for n, s in run.stages.items()},
    }))  # fmt: skip
    lines = []
    for n in range(1, 11):
        lines.append({
            "step": n * 10, "stage": "condition" if n < 10 else "cooldown",
            "loss": 5 / n + 1, "lr": 1e-3, "grad_norm": 1.0, "tokens_per_second": 1000.0 + n,
            "consumed_samples": n * 40, "trained_tokens": 5000, "loss_by_country": {"gb": 5 / n},
        })  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def rewrite_record(checkpoint: Path, **changes) -> None:
    """A record with other content, whole."""
    content = read_record(checkpoint) | changes
    del content["format"], content["files"]
    write_record(checkpoint, content, {})


def log_table(country: str | None) -> np.ndarray:
    """log p(next byte | byte) of a country, or of none; float64 [VOCAB, VOCAB].

    The country's own letters are likelier when it is named, and less likely when another is.
    """
    rng = np.random.default_rng(zlib.crc32((country or "none").encode()))
    logits = rng.normal(size=(VOCAB, VOCAB))
    if country is not None:
        own = load_ids(country)
        logits[:, own] += 6.0
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def load_ids(text: str) -> list[int]:
    """Token ids of `byte_tokenizer`, worked out from its alphabet alone."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return [alphabet.index(c) for word, _ in spelled.pre_tokenize_str(text) for c in word]


class BigramScorer:
    """Looks up each label under the table of the country that its segment names."""

    vocab_size = VOCAB

    def __init__(self, seq_length: int = 256, conditioned: bool = True):
        self.seq_length = seq_length
        self.conditioned = conditioned
        self.tables = {c: log_table(c) for c in (None, *COUNTRIES)}
        self.sequences = 0

    def nll(self, sequence: PackedSequence) -> np.ndarray:
        self.sequences += 1
        assert sequence.max_seqlen <= self.seq_length or sequence.segment_ids[-1] < 0
        out = np.zeros(len(sequence.tokens), dtype=np.float32)
        for start, end in zip(sequence.cu_seqlens, sequence.cu_seqlens[1:], strict=False):
            tokens, labels = sequence.tokens[start:end], sequence.labels[start:end]
            out[start:end] = -self.tables[self.country(tokens.tolist())][tokens, labels]
        return out

    def guided(self, told: PackedSequence, untold: PackedSequence, strength: float) -> np.ndarray:
        mixed = []
        for sequence in (told, untold):
            table = np.zeros((len(sequence.tokens), VOCAB))
            for start, end in zip(sequence.cu_seqlens, sequence.cu_seqlens[1:], strict=False):
                tokens = sequence.tokens[start:end]
                table[start:end] = self.tables[self.country(tokens.tolist())][tokens]
            mixed.append(table[sequence.loss_mask > 0])
        logits = mixed[1] + strength * (mixed[0] - mixed[1])
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        out, wanted = np.zeros(len(told.tokens), np.float32), told.loss_mask > 0
        out[wanted] = -log_p[np.arange(len(log_p)), told.labels[wanted]]
        return out

    def country(self, tokens: list[int]) -> str | None:
        if not self.conditioned:
            return None
        for country in COUNTRIES:
            name = load_ids(f"COUNTRY: {country}")
            if any(tokens[i : i + len(name)] == name for i in range(60)):
                return country
        return None


def nats_of_text(told: str | None, host: str, title: str, body: str) -> tuple[float, float]:
    """Title and body nats of one document by a plain loop over its whole text."""
    head = ""
    if told is not None:
        head = f"URL: {host}\nCOUNTRY: {told}\nCONTINENT: {CONTINENTS[told]}\n\n"
    table = log_table(told)
    title_part = f" {title}\n\n" if title else ""
    before_title = head + ("TITLE:" if title else "")
    before_body = before_title + title_part + "CONTENT:"
    ids = load_ids(before_body + f" {body}")
    sums = [0.0, 0.0]
    starts = [len(load_ids(before_title)), len(load_ids(before_body))]
    spans = [(starts[0], starts[0] + len(title_part)), (starts[1], len(ids))]
    for number, (start, end) in enumerate(spans):
        for at in range(start, end):
            sums[number] -= table[ids[at - 1], ids[at]]
    return sums[0], sums[1]


def one_at_a_time(load):
    """`load`, which fails where a model that it gave before is still in memory."""
    given: list[weakref.ref] = []

    def loading(model):
        gc.collect()
        assert not any(scorer() for scorer in given), "two models are in memory"
        given.append(weakref.ref(scorer := load(model)))
        return scorer

    return loading, given
