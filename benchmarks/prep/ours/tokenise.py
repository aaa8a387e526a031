"""The encoder of the tokenise stage, in its batches: TOKENIZER JSONL."""

import sys
from pathlib import Path

import numpy as np

from benchmarks.prep.contender import time_tokenising
from data_prep.tokenise.encoders import choose_encoder
from data_prep.tokenise.part_shards import BATCH
from data_prep.tokenise.shard_writer import Tokens
from geo_nemo.tokenizers.load import load_tokenizer


def main() -> None:
    path = Path(sys.argv[1])
    encoder = choose_encoder(path, load_tokenizer(path)).encoder

    def flat(found: Tokens) -> tuple[np.ndarray, np.ndarray]:
        return found.ids, found.lengths

    time_tokenising(Path(sys.argv[2]), encoder.encode, flat, BATCH, encoder=encoder.name)


if __name__ == "__main__":
    main()
