"""JSONL to a store beside Megatron's and datatrove's way to tokens, and the bytes of the store.

CPU seconds of everything from the start of the process on. The peers tokenise the text alone; ours
also reads URL, country and title, checks, deduplicates and splits.
"""

import shutil
from pathlib import Path

import numpy as np

from benchmarks.machine import reason_against
from benchmarks.prep.ours.config import store_config
from benchmarks.prep.peers import megatron
from benchmarks.prep.setting import Setting
from benchmarks.processes import OURS, Measured, cpu, in_turn, run_module
from benchmarks.results import Row, compare
from geo_nemo.store import TokenStore

QUICK_BYTES, FULL_BYTES, LARGE_BYTES = 4_000_000, 100_000_000, 480_000_000
MEGATRON, DATATROVE = "Megatron preprocess_data", "datatrove DocumentTokenizer"
PEERS = {"jsonl_to_store_vs_megatron": MEGATRON, "jsonl_to_store_vs_datatrove": DATATROVE}


def measure(setting: Setting) -> list[Row]:
    corpus = setting.corpus(setting.either(QUICK_BYTES, FULL_BYTES, LARGE_BYTES))
    vocabulary = setting.vocabulary
    folder = setting.folder / "to_store"
    against = {
        MEGATRON: megatron.reason_against(setting.megatron),
        DATATROVE: reason_against("datatrove"),
    }
    reasons = {name: reason for name, reason in against.items() if reason}

    def ours(number: int) -> Measured:
        config = store_config([corpus.path], folder / f"ours-{number}", vocabulary.path)
        return run_module("benchmarks.prep.ours.to_store", config.model_dump_json())

    def datatrove(number: int) -> Measured:
        output = folder / f"datatrove-{number}"
        return run_module(
            "benchmarks.prep.peers.datatrove_tokens", str(corpus.path.parent), corpus.path.name,
            str(vocabulary.path), vocabulary.eos, str(output),
        )  # fmt: skip

    def preprocess(number: int) -> Measured:
        return megatron.preprocess(
            setting.megatron, corpus, vocabulary, folder / f"megatron-{number}"
        )

    contenders = {OURS: ours, MEGATRON: preprocess, DATATROVE: datatrove}
    found = in_turn(
        {n: c for n, c in contenders.items() if n not in reasons}, setting.rounds, reasons
    )
    value = cpu(found[OURS])
    rows = [
        compare(
            metric, value, "CPU s", peer, cpu(found[peer]) if peer in found else None, "less",
            corpus.case, f"with start-up; ours {corpus.megabytes / value:.1f} MB/s a core",
            reasons.get(peer, ""),
        )
        for metric, peer in PEERS.items()
    ]  # fmt: skip
    rows.append(_store_bytes(folder / "ours-0" / "store", corpus.case))
    shutil.rmtree(folder)
    return rows


def _store_bytes(store: Path, case: str) -> Row:
    bytes_of = store_figures(store)
    ours, plain = bytes_of["store"], bytes_of["plain"]
    note = (
        f"{ours / plain:.4f} of its bytes. One store for all conditions, without the tokenizer's "
        f"file; plain: titles, texts and an EOS each, {bytes_of['token']} bytes a token"
    )
    return compare("store_bytes", ours, "bytes", "plain token file", plain, "less", case, note)


def store_figures(store: Path) -> dict[str, int]:
    """Bytes of a store without its tokenizer, of a plain token file, and of a token."""
    manifest = TokenStore.open(store).manifest
    files = (path for path in store.rglob("*") if path.is_file())
    splits = manifest.splits.values()
    tokens = sum(split.title_tokens + split.body_tokens for split in splits)
    width = np.dtype(manifest.dtype).itemsize
    return {
        "store": sum(p.stat().st_size for p in files if not p.name.startswith("tokenizer")),
        "plain": (tokens + sum(split.documents for split in splits)) * width,
        "token": width,
    }
