"""Numbers for names, in the narrowest types that hold them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


class Codes:
    """Names numbered in the order in which they come, behind those of `first`."""

    def __init__(self, *first: str):
        self.names: dict[str, int] = {name: code for code, name in enumerate(first)}

    def of(self, names: "Sequence[str] | pa.Array") -> np.ndarray:
        known = self.names
        if not hasattr(names, "dictionary_encode"):
            return np.array([known.setdefault(name, len(known)) for name in names], np.uint32)
        # A dictionary lists its values in the order in which they come, too.
        encoded = names.dictionary_encode()
        codes = self.of(encoded.dictionary.to_pylist())
        return codes[encoded.indices.to_numpy(zero_copy_only=False)]


def narrow(ends: np.ndarray) -> np.ndarray:
    """Rising numbers in 4 bytes where they fit, else in 8."""
    return ends.astype(np.uint32) if not len(ends) or ends[-1] < 1 << 32 else ends
