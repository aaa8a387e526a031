"""Hugging Face tokenizers, one thread, without offsets (its faster call): TOKENIZER JSONL."""

import sys
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.prep.contender import time_tokenising


def main() -> None:
    tokenizer = Tokenizer.from_file(sys.argv[1])
    tokenizer.encode_special_tokens = True

    def encode(batch: list[str]) -> list[list[int]]:
        found = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    time_tokenising(Path(sys.argv[2]), encode)


if __name__ == "__main__":
    main()
