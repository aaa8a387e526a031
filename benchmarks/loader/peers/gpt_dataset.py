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
from torch.utils.data import Dataset, default_collate

from benchmarks.prep.contender import say

MICRO_BATCH = 4


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
        read_rows(dataset, 0, rows)
        started = time.process_time()
        read_rows(dataset, rows, 2 * rows)
        seconds = time.process_time() - started
    say(rows_seconds=seconds, tokens=rows * seq_length)


def read_rows(dataset: Dataset, start: int, stop: int) -> None:
    """Rows in micro-batches, as torch's loader joins them."""
    for first in range(start, stop, MICRO_BATCH):
        default_collate([dataset[i] for i in range(first, min(first + MICRO_BATCH, stop))])


if __name__ == "__main__":
    main()
