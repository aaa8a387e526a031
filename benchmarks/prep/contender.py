"""What contenders share: the texts of a file, a digest of ids, and the line of JSON at the end."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

BATCH = 1000


def texts(path: Path) -> Iterator[str]:
    """The text of each line of a JSON Lines file."""
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)["text"]


def batches(items: Iterable[str], size: int = BATCH) -> Iterator[list[str]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def say(**figures: Any) -> None:
    """Print what was counted, as the last line."""
    print(orjson.dumps(figures).decode(), flush=True)


def time_tokenising(path: Path, encode: Callable[[list[str]], Sequence[Sequence[int]]]) -> None:
    """CPU seconds of `encode` alone over all batches, and a digest of the ids; both are said."""
    digest = hashlib.sha256()
    seconds = 0.0
    tokens = text_bytes = 0
    for batch in batches(texts(path)):
        text_bytes += sum(len(text.encode()) for text in batch)
        started = time.process_time()
        found = encode(batch)
        seconds += time.process_time() - started
        for ids in found:
            digest.update(np.asarray(ids, np.uint32).tobytes() + b"|")
            tokens += len(ids)
    say(
        seconds=seconds,
        megabytes_per_second=text_bytes / 1e6 / seconds,
        tokens=tokens,
        digest=digest.hexdigest(),
    )
