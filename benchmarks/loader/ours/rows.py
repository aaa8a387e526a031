"""Plan and read rows of a store: `STORE OUTPUT ROWS`.

Prints CPU seconds `index_seconds` and `rows_seconds`; `rows`, `tokens` of the rows; `documents` and
`fill` of the index; and bytes of memory that are this process' own: `before` the index is planned,
`planned` (most meanwhile), `read` (after the rows).
"""

import sys
import time

import numpy as np
import torch

from benchmarks.loader.ours.memory import Peak, own_bytes
from benchmarks.loader.ours.run import SEQ_LENGTH, STAGE, run_of
from benchmarks.prep.contender import say
from geo_nemo.data.batches import ROW_ARRAYS
from geo_nemo.data.stage import build_stage_index, indexed_dataset
from geo_nemo.store import TokenStore


def main() -> None:
    torch.set_num_threads(1)
    folder, output, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = TokenStore.open(folder)
    split = store.split("train")
    entry = store.manifest.splits["train"]
    run = run_of(folder, output, entry.title_tokens + entry.body_tokens)
    before = own_bytes()
    with Peak() as peak:
        started = time.process_time()
        index, built = build_stage_index(run, store.hash, split, store.tokenizer(), STAGE)
        index_seconds = time.process_time() - started
    dataset = indexed_dataset(run, split, store.tokenizer(), STAGE, index)
    count = min(rows, len(dataset) // 2)
    # A long training has met its hosts, and this one too by now; each row is read once.
    for number in range(count):
        dataset[number]
    started = time.process_time()
    for number in range(count, 2 * count):
        row = dataset[number]
        arrays = [torch.from_numpy(getattr(row, name)) for name in ROW_ARRAYS]
    rows_seconds = time.process_time() - started
    for number in np.linspace(0, len(dataset) - 1, 2000).astype(int):
        dataset[int(number)]
    del arrays
    say(
        index_seconds=index_seconds, rows_seconds=rows_seconds, rows=count, built=built,
        tokens=count * SEQ_LENGTH, documents=index.counts.documents, before=before,
        fill=index.counts.positions / index.counts.rows / SEQ_LENGTH,
        planned=peak.bytes, read=own_bytes(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
