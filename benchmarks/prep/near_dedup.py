"""Near-duplicates of documents of about 3 KB: CPU seconds and recall beside the true similarity."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.corpora.duplicates import NGRAM, Pair, duplicated_records
from benchmarks.corpora.news import write_jsonl
from benchmarks.machine import reason_against
from benchmarks.prep.ours.config import store_config
from benchmarks.prep.setting import Setting
from benchmarks.processes import OURS, Measured, cpu, in_turn, run_module
from benchmarks.results import Row, compare

QUICK_DOCUMENTS, FULL_DOCUMENTS = 5_000, 100_000
SIMILAR, UNLIKE = 0.8, 0.5
PEERS = (("rensa RMinHashLSH", "rensa"), ("datasketch MinHashLSH", "datasketch"))


def measure(setting: Setting) -> list[Row]:
    count = setting.either(QUICK_DOCUMENTS, FULL_DOCUMENTS)
    folder = setting.folder / "near_dedup"
    folder.mkdir()
    rows, pairs = duplicated_records(count)
    path = folder / "news.jsonl"
    text_bytes = write_jsonl(path, iter(rows))
    del rows
    # The stages' config names a tokenizer, which none of the measured stages loads.
    config = store_config([path], folder / "ours", folder / "none.json", near=True)
    clusters = folder / "clusters.npy"

    def ours(number: int) -> Measured:
        shutil.rmtree(folder / "ours", ignore_errors=True)
        given = config.model_dump_json()
        run_module("benchmarks.prep.ours.near_dedup", "ingest", given)
        found = run_module("benchmarks.prep.ours.near_dedup", "dedup", given, str(clusters))
        return _with_quality(found, clusters, pairs)

    def peer(module: str) -> Callable[[int], Measured]:
        def measured(number: int) -> Measured:
            found = run_module("benchmarks.prep.peers.minhash", module, str(path), str(clusters))
            return _with_quality(found, clusters, pairs)

        return measured

    contenders = {OURS: ours} | {name: peer(module) for name, module in PEERS}
    reasons = {name: reason for name, module in PEERS if (reason := reason_against(module))}
    found = in_turn(
        {n: c for n, c in contenders.items() if n not in reasons}, setting.rounds, reasons
    )
    shutil.rmtree(folder)
    case = f"generated, {count:,} documents of {text_bytes / count:,.0f} bytes"
    quality_of = {name: _quality(runs[0]) for name, runs in found.items()}
    ours_is = f"ours: {quality_of[OURS]}"
    return [
        compare(
            "near_dedup", cpu(found[OURS]), "CPU s", name,
            cpu(found[name]) if name in found else None, "less", case,
            f"{ours_is}; peer: {quality_of.get(name)}", f"{reasons.get(name)}; {ours_is}",
        )
        for name, _ in PEERS
    ]  # fmt: skip


def quality(clusters: np.ndarray, pairs: list[Pair]) -> dict[str, float]:
    """recall: fraction of the similar pairs that are in one cluster.

    unlike: fraction of the pairs of a family below 0.5 that are in one, by a chain of others or by
    mistake. pairs: similar ones.
    clusters: int64 [documents], equal for documents of one cluster.
    """
    together = np.array([clusters[pair.first] == clusters[pair.second] for pair in pairs])
    similarity = np.array([pair.similarity for pair in pairs])
    similar, unlike = together[similarity >= SIMILAR], together[similarity < UNLIKE]
    return {
        "recall": float(similar.mean()),
        "unlike": float(unlike.mean()) if len(unlike) else 0.0,
        "pairs": len(similar),
    }


def _with_quality(found: Measured, clusters: Path, pairs: list[Pair]) -> Measured:
    said = quality(np.load(clusters), pairs)
    clusters.unlink()
    return Measured(found.cpu_seconds, found.wall_seconds, said)


def _quality(run: Measured) -> str:
    said = run.said
    return (
        f"recall {said['recall']:.4f} of {said['pairs']:,} pairs at J >= {SIMILAR} "
        f"(word {NGRAM}-grams), {said['unlike']:.3f} of those below {UNLIKE} merged"
    )
