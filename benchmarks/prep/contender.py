"""What contenders share: the texts of a file, a digest of ids, and the line of JSON at the end."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson


def texts(path: Path) -> Iterator[str]:
    """The text of each line of a JSON Lines file."""
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)["text"]


def batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def say(**figures: Any) -> None:
    """Print what was counted, as the last line."""
    print(orjson.dumps(figures).decode(), flush=True)


def time_tokenising(
    path: Path,
    encode: Callable[[list[str]], Any],
    flat: Callable[[Any], tuple[np.ndarray, np.ndarray]],
    batch: int,
    **more: Any,
) -> None:
    """Say the CPU seconds of `encode` alone over all batches, and a digest of the ids.

    flat: from what `encode` gave, the ids of a batch in one array, and how many each text has.
    more: is said too.
    """
    ids_digest, lengths_digest = hashlib.sha256(), hashlib.sha256()
    seconds = 0.0
    tokens = text_bytes = 0
    for some in batches(texts(path), batch):
        text_bytes += sum(len(text.encode()) for text in some)
        started = time.process_time()
        found = encode(some)
        seconds += time.process_time() - started
        ids, lengths = flat(found)
        ids_digest.update(ids.astype(np.uint32).tobytes())
        lengths_digest.update(lengths.astype(np.int64).tobytes())
        tokens += len(ids)
    say(
        seconds=seconds,
        megabytes_per_second=text_bytes / 1e6 / seconds,
        tokens=tokens,
        digest=ids_digest.hexdigest() + lengths_digest.hexdigest(),
        **more,
    )
