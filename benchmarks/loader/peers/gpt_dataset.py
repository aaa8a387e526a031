"""Rows of Megatron-Core's GPTDataset: `PREFIX SEQ_LENGTH ROWS plain|reset`.

reset: positions begin anew at each document and the loss leaves out its end; the mask of attention
is not made in either, as ours is not. Prints `rows_seconds` (CPU) and `tokens`.
"""

import sys
import tempfile
import time
from types import SimpleNamespace

import torch
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

from benchmarks.prep.contender import say


def main() -> None:
    torch.set_num_threads(1)
    prefix, seq_length, rows, mode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    reset = mode == "reset"
    with tempfile.TemporaryDirectory() as cache:
        config = GPTDatasetConfig(
            random_seed=1, sequence_length=seq_length, blend=([prefix], None), split="1,0,0",
            reset_position_ids=reset, reset_attention_mask=False, eod_mask_loss=reset,
            create_attention_mask=False, path_to_cache=cache,
            tokenizer=SimpleNamespace(eod=3, vocab_size=4000, unique_identifiers={"name": "ids"}),
        )  # fmt: skip
        builder = BlendedMegatronDatasetBuilder(GPTDataset, [2 * rows, 0, 0], lambda: True, config)
        dataset = builder.build()[0]
        for number in range(rows):
            dataset[number]
        started = time.process_time()
        for number in range(rows, 2 * rows):
            dataset[number]
        seconds = time.process_time() - started
    say(rows_seconds=seconds, tokens=rows * seq_length)


if __name__ == "__main__":
    main()
