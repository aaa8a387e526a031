"""fastokens: ids of many texts in one array, on one core."""

from collections.abc import Callable
from typing import Any

import numpy as np

from geo_nemo.tokenizers.base import FlatEncoder, scrub
from geo_nemo.tokenizers.hard_texts import HARD_TEXTS


class Fastokens:
    """The crate fastokens."""

    name = "fastokens"

    def __init__(self, backend: Any):
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        try:
            # The last argument keeps names of control tokens ordinary text.
            ids, ends = self._backend.encode_batch_flat(texts, False, True)
        except UnicodeEncodeError:
            return self.encode([scrub(text) for text in texts])
        lengths = np.diff(np.frombuffer(ends, np.uint64)).astype(np.int64)
        return np.frombuffer(ids, np.uint32), lengths


def by_fastokens(make: Callable[[Any], Any]) -> FlatEncoder | str:
    """What `make` makes of the class of fastokens, or why that cannot be used."""
    try:
        from fastokens import Tokenizer as Backend

        encoder = Fastokens(make(Backend))
        encoder.encode(list(HARD_TEXTS))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of fastokens is no Exception
        return f"fastokens cannot be used: {' '.join(str(error).split())[:200]}"
    return encoder
