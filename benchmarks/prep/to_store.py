"""JSONL to a store beside Megatron's and datatrove's way to tokens, and the bytes of the store.

CPU seconds of everything from the start of the process on. The peers tokenise the text alone; ours
also reads URL, country and title, checks, deduplicates and splits.
"""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.prep.ours.config import store_config
from benchmarks.prep.peers import megatron
from benchmarks.prep.setting import Setting
from benchmarks.processes import Measured, cpu, in_turn, run_module
from benchmarks.results import Row, compare, missing
from geo_nemo.config.errors import RunError
from geo_nemo.store import TokenStore

QUICK_BYTES, FULL_BYTES = 6_000_000, 60_000_000
NAMES = {
    "jsonl_to_store_vs_megatron": "Megatron preprocess_data",
    "jsonl_to_store_vs_datatrove": "datatrove DocumentTokenizer",
}


def measure(setting: Setting) -> list[Row]:
    corpus = setting.corpus(setting.either(QUICK_BYTES, FULL_BYTES))
    vocabulary = setting.vocabulary
    folder = setting.folder / "to_store"
    against = {
        "jsonl_to_store_vs_megatron": megatron.reason_against(setting.megatron),
        "jsonl_to_store_vs_datatrove": (
            "" if importlib.util.find_spec("datatrove") else "not installed"
        ),
    }

    def ours(number: int) -> Measured:
        output = folder / f"ours-{number}"
        config = store_config([corpus.path], output, vocabulary.path)
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

    peers = {"jsonl_to_store_vs_megatron": preprocess, "jsonl_to_store_vs_datatrove": datatrove}
    contenders = {"ours": ours}
    for metric, peer in peers.items():
        if not against[metric]:
            contenders[metric] = _or_reason(peer, against, metric)
    found = in_turn(contenders, setting.rounds)
    rows = []
    for metric, name in NAMES.items():
        value, unit = cpu(found["ours"]), "CPU s"
        if against[metric]:
            rows.append(missing(metric, value, unit, name, corpus.case, against[metric]))
        else:
            note = f"{corpus.megabytes / value:.1f} MB/s a core"
            peer = cpu(found[metric])
            rows.append(compare(metric, value, unit, name, peer, "less", corpus.case, note))
    rows.append(_store_bytes(folder / "ours-0" / "store", corpus.case))
    shutil.rmtree(folder)
    return rows


def _or_reason(
    peer: Callable[[int], Measured], against: dict[str, str], metric: str
) -> Callable[[int], Measured]:
    """`peer`, or the reason why it failed in the first round and is not run again."""

    def measured(number: int) -> Measured:
        if not against[metric]:
            try:
                return peer(number)
            except RunError as error:
                against[metric] = f"failed: {error}"
        return Measured(0, 0, {})

    return measured


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
