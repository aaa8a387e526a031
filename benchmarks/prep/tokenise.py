"""Text to ids on one core: ours and Hugging Face tokenizers, whose ids must be the same."""

from collections.abc import Callable

from benchmarks.prep.setting import Setting
from benchmarks.processes import OURS, Measured, in_turn, run_module, said
from benchmarks.results import Row, compare

QUICK_BYTES, FULL_BYTES = 4_000_000, 40_000_000
CALLS = ("encode_batch", "encode_batch_fast")


def measure(setting: Setting) -> list[Row]:
    corpus = setting.corpus(setting.either(QUICK_BYTES, FULL_BYTES))
    tokenizer = setting.vocabulary.path

    def contender(module: str, *arguments: str) -> Callable[[int], Measured]:
        given = (str(tokenizer), str(corpus.path), *arguments)
        return lambda number: run_module(module, *given)

    contenders = {OURS: contender("benchmarks.prep.ours.tokenise")}
    for call in CALLS:
        contenders[call] = contender("benchmarks.prep.peers.tokenizers_hf", call)
    found = in_turn(contenders, setting.rounds)
    corpus.path.unlink()
    digests = {run.said["digest"] for runs in found.values() for run in runs}
    first = found[OURS][0].said
    note = (
        f"{'same ids' if len(digests) == 1 else 'IDS DIFFER'}, {first['tokens']:,} tokens of "
        f"{corpus.text_bytes / first['tokens']:.2f} bytes; ours by {first['encoder']}; one thread, "
        "no cache is warm, loading the vocabulary is not counted"
    )
    speed = {name: said(runs, "megabytes_per_second") for name, runs in found.items()}
    return [
        compare(
            "tokenise", speed[OURS], "MB/s a core", f"Hugging Face {call}", speed[call], "more",
            corpus.case, note,
        )
        for call in CALLS
    ]  # fmt: skip
