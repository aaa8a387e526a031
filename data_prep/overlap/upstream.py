"""What this package takes from the stages before it, and words of many texts."""

from collections.abc import Iterator

import numpy as np

from data_prep.config import Prep
from data_prep.dedup.word_hashes import Hashes, blocks, text_bytes, word_hashes
from data_prep.ingest import PartRef, all_parts


def rows_in(config: Prep, part: PartRef, split: str) -> np.ndarray:
    """bool [n]: which documents of a part are in `split`."""
    from data_prep.splits import OUTCOMES, outcomes

    return outcomes(config, part) == OUTCOMES.index(split)


def assigned_keys(config: Prep) -> list[str]:
    from data_prep.splits import Assign

    return [task.key for task in Assign(config).tasks()]


def part_of(config: Prep, part_id: str) -> PartRef:
    return next(part for part in all_parts(config) if part.id == part_id)


def block_words(strings) -> Iterator[tuple[int, Hashes]]:
    """(number of the first text, words) of blocks of a pyarrow string array.

    Letters with marks are one character (Unicode's NFC), however the text has them.
    """
    import pyarrow.compute as pc

    if not pc.all(pc.string_is_ascii(strings)).as_py():
        strings = pc.utf8_normalize(strings, "NFC")
    data, offsets = text_bytes(strings)
    for first, last in blocks(offsets):
        yield first, word_hashes(data, offsets[first : last + 1])
