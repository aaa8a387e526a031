"""A fair sample of the train split's texts: drawn by content hash, the same in every run."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from data_prep.config import Prep
from data_prep.engine import TaskProgress
from data_prep.final import content_draws, final_outcomes
from data_prep.ingest import PartRef, all_parts
from data_prep.parts import read_part
from geo_nemo.store.manifest import SPLITS

TRAIN = SPLITS.index("train")


def sample_train_texts(config: Prep, progress: TaskProgress) -> Iterator[str]:
    """Titles and texts of train documents, `tokenizer.sample_bytes` in all, about.

    Texts of all splits are taken to be equally long. In memory: a row group, and 9 bytes a document
    of one part.
    """
    parts = all_parts(config)
    by = config.tokenizer.balance
    fractions: dict[str, float] = {}
    if by:
        held: Counter[str] = Counter()
        for part in parts:
            held.update(_group_bytes(config, part, by))
        fractions = equal_fractions(held, config.tokenizer.sample_bytes)
    train = sum(_train_bytes(config, part) for part in parts)
    fraction = min(1.0, config.tokenizer.sample_bytes / max(train, 1))
    done = 0
    for part in parts:
        yield from _drawn(config, part, fraction, by, fractions)
        done += part.text_bytes
        progress(done, part.start + part.documents)


def equal_fractions(held: Mapping[str, int], wanted: int) -> dict[str, float]:
    """Fraction of each group's text, so that groups give equally much, or all that they hold.

    held: bytes of each. wanted: of all together.
    """
    most = 0.0
    left, groups = float(wanted), sorted(held.values())
    for place, size in enumerate(groups):
        each = left / (len(groups) - place)
        most = max(most, min(each, size))
        if size >= each:
            most = each
            break
        left -= size
    return {name: min(1.0, most / size) for name, size in held.items() if size}


def _group_bytes(config: Prep, part: PartRef, by: str) -> Counter[str]:
    train = final_outcomes(config, part) == TRAIN
    found: Counter[str] = Counter()
    start = 0
    for batch in read_part(part.path, [by, "text_bytes"]):
        chosen = train[start : start + len(batch)]
        start += len(batch)
        groups = batch[by].dictionary_encode()
        sizes = batch["text_bytes"].to_numpy() * chosen
        sums = np.bincount(groups.indices.to_numpy(), sizes, len(groups.dictionary))
        for name, size in zip(groups.dictionary.to_pylist(), sums, strict=True):
            found[name] += int(size)
    return found


def _train_bytes(config: Prep, part: PartRef) -> float:
    of_train = np.count_nonzero(final_outcomes(config, part) == TRAIN)
    return part.text_bytes * of_train / max(part.documents, 1)


def _drawn(
    config: Prep, part: PartRef, fraction: float, by: str | None, fractions: Mapping[str, float]
) -> Iterator[str]:
    rows = np.flatnonzero(final_outcomes(config, part) == TRAIN)
    if by:
        limits = np.concatenate(
            [
                [fractions.get(name, 0.0) for name in batch[by].to_pylist()]
                for batch in read_part(part.path, [by])
            ]
        )[rows]
        draws = content_draws(config, part, rows)
        rows = rows[(draws * 2.0**-64 < limits) | (limits >= 1)]
    elif fraction < 1:
        # Draws are uniform over 64 bits.
        rows = rows[content_draws(config, part, rows) < np.uint64(fraction * 2.0**64)]
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
