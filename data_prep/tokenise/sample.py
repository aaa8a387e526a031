"""A fair sample of the train split's texts: drawn by content hash, the same in every run."""

from collections.abc import Iterator

import numpy as np

from data_prep.config import Prep
from data_prep.engine import TaskProgress
from data_prep.ingest import PartRef, all_parts
from data_prep.parts import read_part
from data_prep.splits import content_draws, final_outcomes
from geo_nemo.store.manifest import SPLITS

TRAIN = SPLITS.index("train")


def sample_train_texts(config: Prep, progress: TaskProgress) -> Iterator[str]:
    """Titles and texts of train documents, `tokenizer.sample_bytes` in all, about.

    Texts of all splits are taken to be equally long. In memory: a row group, and 9 bytes a document
    of one part.
    """
    parts = all_parts(config)
    train = sum(_train_bytes(config, part) for part in parts)
    share = min(1.0, config.tokenizer.sample_bytes / max(train, 1))
    done = 0
    for part in parts:
        yield from _drawn(config, part, share)
        done += part.text_bytes
        progress(done, part.start + part.documents)


def _train_bytes(config: Prep, part: PartRef) -> float:
    of_train = np.count_nonzero(final_outcomes(config, part) == TRAIN)
    return part.text_bytes * of_train / max(part.documents, 1)


def _drawn(config: Prep, part: PartRef, share: float) -> Iterator[str]:
    rows = np.flatnonzero(final_outcomes(config, part) == TRAIN)
    if share < 1:
        # Draws are uniform over 64 bits.
        rows = rows[content_draws(config, part, rows) < np.uint64(share * 2.0**64)]
    if not len(rows):
        return
    chosen = np.zeros(part.documents, bool)
    chosen[rows] = True
    start = 0
    for batch in read_part(part.path, ["title", "text"]):
        at = np.flatnonzero(chosen[start : start + len(batch)])
        start += len(batch)
        if len(at):
            some = batch.take(at)
            for title, text in zip(*(column.to_pylist() for column in some.columns), strict=True):
                yield title
                yield text
