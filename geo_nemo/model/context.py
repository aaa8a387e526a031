"""Context parallelism: which tokens of a packed sequence each rank holds. Needs no torch.

Every document is padded to a multiple of 2 * C tokens, for C ranks, and cut into 2 * C chunks; rank
r holds chunks r and 2C - 1 - r of each, so that all ranks have the same work under a causal mask.
This is the division that Megatron-Core's rotary positions and Transformer Engine's attention take
for THD sequences. Padding stands behind a document's last token, where no trained token sees it,
and is
masked: losses and gradients are those of the sequence without it.

    documents of 5 and 2 tokens, C = 2     aaaaa bb  ->  aaaaa... bb..
    rank 0: chunks 0 and 3                 aa .. b .     rank 1: chunks 1 and 2     aa a. b .
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

PADDING = -1


@dataclass(frozen=True, slots=True)
class ContextRank:
    """One of the ranks that share sequences. multiple: what each rank's number of tokens is of."""

    rank: int
    size: int
    multiple: int = 1

    def divide(self, cu_seqlens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The padded sequence's borders, int32 [d + 1], and where this rank's tokens come from.

        cu_seqlens: borders of the documents in the sequence without padding.
        The second is an index into that sequence, int64 [t], `PADDING` where there is no token.
        """
        borders = self._padded(np.diff(cu_seqlens))
        origin = np.full(borders[-1], PADDING, np.int64)
        for padded, (start, end) in zip(borders, pairwise(cu_seqlens), strict=False):
            origin[padded : padded + end - start] = np.arange(start, end)
        return borders, origin[positions(borders, self.rank, self.size)]

    def _padded(self, lengths: np.ndarray) -> np.ndarray:
        step = 2 * self.size
        padded = -(-lengths // step) * step
        lacking = -int(padded.sum()) % math.lcm(step, self.size * self.multiple)
        if lacking:  # a document of padding alone
            padded = np.append(padded, lacking)
        return np.concatenate([[0], np.cumsum(padded)]).astype(np.int32)


def positions(borders: np.ndarray, rank: int, size: int) -> np.ndarray:
    """Positions in a padded sequence of the tokens that `rank` holds, in its order, int64 [t]."""
    parts = [
        np.arange(start + place * chunk, start + (place + 1) * chunk)
        for start, end in pairwise(map(int, borders))
        for chunk in [(end - start) // (2 * size)]
        for place in (rank, 2 * size - 1 - rank)
    ]
    return np.concatenate(parts)


def sequence_order(borders: np.ndarray, size: int) -> np.ndarray:
    """Index that puts all ranks' tokens, rank behind rank, into the sequence's order, [T]."""
    gathered = np.concatenate([positions(borders, rank, size) for rank in range(size)])
    return np.argsort(gathered)
