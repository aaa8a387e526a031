"""Text to ids on one core: ours and Hugging Face tokenizers, whose ids must be the same.

The encoder alone, and the whole stage `tokenise`: which reads, checks and writes too.
"""

import shutil
from collections.abc import Callable

from benchmarks.prep.ours.config import store_config
from benchmarks.prep.setting import Setting
from benchmarks.processes import OURS, Measured, in_turn, run_module, said
from benchmarks.results import Row, compare

QUICK_BYTES, FULL_BYTES = 4_000_000, 40_000_000
STAGE_QUICK_BYTES, STAGE_FULL_BYTES, STAGE_LARGE_BYTES = 4_000_000, 100_000_000, 480_000_000
STAGE = "stage"
CALLS = ("encode_batch", "encode_batch_fast")


def measure(setting: Setting) -> list[Row]:
    corpus = setting.corpus(setting.either(QUICK_BYTES, FULL_BYTES))
    tokenizer = setting.vocabulary.path

    def contender(module: str, *arguments: str) -> Callable[[int], Measured]:
        given = (str(tokenizer), str(corpus.path), *arguments)
        return lambda number: run_module(module, *given)

    staged = setting.corpus(setting.either(STAGE_QUICK_BYTES, STAGE_FULL_BYTES, STAGE_LARGE_BYTES))

    def whole_stage(number: int) -> Measured:
        output = setting.folder / f"stage-{number}"
        config = store_config([staged.path], output, tokenizer)
        found = run_module("benchmarks.prep.ours.tokenise_stage", config.model_dump_json())
        shutil.rmtree(output)
        return found

    contenders = {OURS: contender("benchmarks.prep.ours.tokenise"), STAGE: whole_stage}
    for call in CALLS:
        contenders[call] = contender("benchmarks.prep.peers.tokenizers_hf", call)
    found = in_turn(contenders, setting.rounds)
    for path in {corpus.path, staged.path}:
        path.unlink()
    digests = {run.said["digest"] for name, runs in found.items() if name != STAGE for run in runs}
    first = found[OURS][0].said
    note = (
        f"{'same ids' if len(digests) == 1 else 'IDS DIFFER'}, {first['tokens']:,} tokens of "
        f"{corpus.text_bytes / first['tokens']:.2f} bytes; ours by {first['encoder']}; one thread, "
        "no cache is warm, loading the vocabulary is not counted"
    )
    speed = {name: said(runs, "megabytes_per_second") for name, runs in found.items()}
    stage_note = (
        "reading, encoding, comparing a sample with the reference, writing; beside the same"
    )
    measured = (
        ("tokenise", OURS, corpus.case, note),
        ("tokenise_stage", STAGE, staged.case, stage_note),
    )
    return [
        compare(
            metric, speed[name], "MB/s a core", f"Hugging Face {call}", speed[call], "more", case,
            told,
        )
        for metric, name, case, told in measured
        for call in CALLS
    ]  # fmt: skip
