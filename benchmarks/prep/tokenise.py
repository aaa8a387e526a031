"""Text to ids on one core: ours and Hugging Face tokenizers, whose ids must be the same."""

from pathlib import Path

from benchmarks.prep.setting import Setting
from benchmarks.processes import in_turn, run_module, said
from benchmarks.results import Row, compare

QUICK_BYTES, FULL_BYTES = 4_000_000, 40_000_000
PEER = "Hugging Face tokenizers"


def measure(setting: Setting) -> list[Row]:
    corpus = setting.corpus(setting.either(QUICK_BYTES, FULL_BYTES))
    tokenizer = setting.vocabulary.path

    def contender(module: str):
        return lambda number: run_module(module, str(tokenizer), str(corpus.path))

    found = in_turn(
        {
            "ours": contender("benchmarks.prep.ours.tokenise"),
            PEER: contender("benchmarks.prep.peers.tokenizers_hf"),
        },
        setting.rounds,
    )
    Path(corpus.path).unlink()
    digests = {run.said["digest"] for runs in found.values() for run in runs}
    tokens = found["ours"][0].said["tokens"]
    bytes_per_token = corpus.text_bytes / tokens
    note = f"{'same ids' if len(digests) == 1 else 'IDS DIFFER'}, {tokens:,} tokens"
    return [
        compare(
            "tokenise",
            said(found["ours"], "megabytes_per_second"),
            "MB/s a core",
            PEER,
            said(found[PEER], "megabytes_per_second"),
            "more",
            corpus.case,
            f"{note} of {bytes_per_token:.2f} bytes; loading the vocabulary not counted",
        )
    ]
