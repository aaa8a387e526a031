"""JSONL to a store beside Megatron-LM's preprocess_data_fast: gigatoken over whole files.

The peer is the script itself where --megatron has it, and else gigatoken's call alone, without what
the script imports; rows name which. It tokenises the text and nothing else. Documents of 12 KB, a
byte-level BPE of 32,000 pieces.
"""

import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.machine import reason_against
from benchmarks.prep.contender import texts
from benchmarks.prep.ours.config import store_config
from benchmarks.prep.peers import megatron
from benchmarks.prep.setting import Corpus, Setting, Vocabulary
from benchmarks.processes import OURS, Measured, cpu, in_turn, run_module
from benchmarks.results import Row, compare
from geo_nemo.common.errors import RunError

QUICK_BYTES, FULL_BYTES, LARGE_BYTES = (4_000_000,), (240_000_000,), (240_000_000, 960_000_000)
PIECES, MEDIAN_WORDS = 32_000, 1640
SCRIPT, LIBRARY = "Megatron preprocess_data_fast", "gigatoken encode_files"
NEAR = "ours, near-duplicates dropped"
METRICS = {
    OURS: "jsonl_to_store_vs_megatron_fast",
    NEAR: "jsonl_to_store_near_vs_megatron_fast",
}
COMPARED_TEXTS = 200


def measure(setting: Setting) -> list[Row]:
    sizes = QUICK_BYTES if setting.quick else LARGE_BYTES if setting.large else FULL_BYTES
    vocabulary = setting.vocabulary_of(PIECES)
    return [row for size in sizes for row in _measured(setting, vocabulary, size)]


def _measured(setting: Setting, vocabulary: Vocabulary, size: int) -> list[Row]:
    corpus = setting.corpus(size, MEDIAN_WORDS)
    folder = setting.folder / "fast_store"
    peer, reason, preprocess = _peer(setting, corpus, vocabulary)
    reasons = {peer: reason} if reason else {}

    def emptied(run: Callable[[Path], Measured]) -> Callable[[int], Measured]:
        def measured(number: int) -> Measured:
            shutil.rmtree(folder, ignore_errors=True)
            return run(folder)

        return measured

    def ours(near: bool) -> Callable[[int], Measured]:
        config = store_config([corpus.path], folder, vocabulary.path, near=near)
        given = config.model_dump_json()
        return emptied(lambda output: run_module("benchmarks.prep.ours.to_store", given))

    contenders = {OURS: ours(False), NEAR: ours(True), peer: emptied(preprocess)}
    found = in_turn(
        {name: run for name, run in contenders.items() if name not in reasons},
        setting.rounds, reasons,
    )  # fmt: skip
    shutil.rmtree(folder)
    corpus.path.unlink()
    theirs = found.get(peer)
    return [
        compare(
            metric, cpu(found[name]), "CPU s", peer, cpu(theirs) if theirs else None, "less",
            corpus.case, _note(found[name], theirs or []), reasons.get(peer, ""),
        )
        for name, metric in METRICS.items()
    ]  # fmt: skip


def _peer(
    setting: Setting, corpus: Corpus, vocabulary: Vocabulary
) -> tuple[str, str, Callable[[Path], Measured]]:
    """The peer's name, why it cannot run (or empty), and the run into a folder."""

    def script(output: Path) -> Measured:
        tool = megatron.FAST_TOOL
        return megatron.preprocess(setting.megatron, corpus, vocabulary, output, tool)

    def library(output: Path) -> Measured:
        return run_module(
            "benchmarks.prep.peers.gigatoken_files", str(corpus.path), str(vocabulary.path),
            vocabulary.eos, str(output),
        )  # fmt: skip

    def checked(run: Callable[[Path], Measured]) -> Callable[[Path], Measured]:
        def measured(output: Path) -> Measured:
            found = run(output)
            _check_ids(corpus, vocabulary, output / "out_text_document.bin")
            return found

        return measured

    if setting.megatron is not None:
        reason = megatron.reason_against(setting.megatron, megatron.FAST_TOOL)
        return SCRIPT, reason, checked(script)
    return LIBRARY, reason_against("gigatoken") or reason_against("awkward"), checked(library)


def _check_ids(corpus: Corpus, vocabulary: Vocabulary, written: Path) -> None:
    """RunError where the peer's ids of the first texts, each with its EOS, are not ours."""
    from data_prep.tokenise.loaded import encoder_at, tokenizer_at

    tokenizer = tokenizer_at(vocabulary.path)
    encoder = encoder_at(vocabulary.path, tokenizer).encoder
    tokens = encoder.encode(list(islice(texts(corpus.path), COMPARED_TEXTS)))
    ours = np.insert(tokens.ids, np.cumsum(tokens.lengths), tokenizer.eos_id)
    theirs = np.fromfile(written, tokens.ids.dtype, len(ours))
    if not np.array_equal(ours, theirs):
        raise RunError(f"its ids of the first {COMPARED_TEXTS} texts are not {encoder.name}'s")


def _note(ours: list[Measured], theirs: list[Measured]) -> str:
    peaks = [max((run.peak_bytes for run in runs), default=0) / 1e6 for runs in (ours, theirs)]
    return f"with start-up; most resident memory {peaks[0]:.0f} MB, peer {peaks[1]:.0f}; same ids"
