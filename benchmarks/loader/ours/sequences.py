"""Plan and read sequences of a store: `STORE OUTPUT SEQUENCES`.

Prints CPU seconds `index_seconds` and `sequences_seconds`; `sequences`, `tokens` of the sequences;
`documents` and `fill` of the index; and bytes of memory that are this process' own: `before` the
index is planned, `planned` (most meanwhile), `read` (after the sequences).
"""

import sys
import time

import numpy as np
import torch

from benchmarks.loader.ours.memory import Peak, own_bytes
from benchmarks.loader.ours.run import MICRO_BATCH, SEQ_LENGTH, STAGE, run_of
from benchmarks.prep.contender import say
from geo_nemo.data.batches import SEQUENCES_TOGETHER, micro_batches
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.sequences import SEQUENCE_ARRAYS
from geo_nemo.data.stage import build_stage_index, indexed_dataset
from geo_nemo.store import TokenStore

METADATA_TOKENS = 65


def main() -> None:
    torch.set_num_threads(1)
    folder, output, sequences = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = TokenStore.open(folder)
    split = store.split("train")
    entry = store.manifest.splits["train"]
    # With its metadata, each document is drawn about once.
    tokens = entry.title_tokens + entry.body_tokens + METADATA_TOKENS * split.num_documents
    run = run_of(folder, output, tokens)
    before = own_bytes()
    with Peak() as peak:
        started = time.process_time()
        index, built = build_stage_index(run, store.hash, split, store.tokenizer(), STAGE)
        index_seconds = time.process_time() - started
    dataset = indexed_dataset(run, split, store.tokenizer(), STAGE, index)
    count = min(sequences, len(dataset) // 2)
    # A long training has met its hosts, and this one too by now; each sequence is read once.
    read_sequences(dataset, 0, count)
    started = time.process_time()
    read_sequences(dataset, count, 2 * count)
    sequences_seconds = time.process_time() - started
    for number in np.linspace(0, len(dataset) - 1, 2000).astype(int):
        dataset[int(number)]
    say(
        index_seconds=index_seconds, sequences_seconds=sequences_seconds, sequences=count,
        built=built, tokens=count * SEQ_LENGTH, documents=index.counts.documents, before=before,
        fill=index.counts.positions / index.counts.sequences / SEQ_LENGTH,
        planned=peak.bytes, read=own_bytes(),
    )  # fmt: skip


def read_sequences(dataset: StageDataset, start: int, stop: int) -> None:
    """Sequences in micro-batches of tensors, as the training loop has them."""
    for first in range(start, stop, SEQUENCES_TOGETHER):
        samples = range(first, min(first + SEQUENCES_TOGETHER, stop))
        for batch in micro_batches(dataset.block(samples), samples, MICRO_BATCH):
            for name in SEQUENCE_ARRAYS:
                torch.from_numpy(getattr(batch, name))


if __name__ == "__main__":
    main()
