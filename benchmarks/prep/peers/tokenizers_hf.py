"""Hugging Face tokenizers, one thread, by one of its calls: TOKENIZER JSONL CALL.

`encode_batch` is what its users call; `encode_batch_fast` is the same without offsets.
"""

import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from benchmarks.prep.contender import time_tokenising

BATCH = 1000


def main() -> None:
    tokenizer = Tokenizer.from_file(sys.argv[1])
    tokenizer.encode_special_tokens = True

    call = getattr(tokenizer, sys.argv[3])

    def encode(some: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in call(some, add_special_tokens=False)]

    def flat(found: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate([np.array(ids, np.uint32) for ids in found]), np.array(
            [len(ids) for ids in found]
        )

    time_tokenising(Path(sys.argv[2]), encode, flat, BATCH)


if __name__ == "__main__":
    main()
