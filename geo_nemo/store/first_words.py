"""First words of a split's titles and bodies, as prep counted them: a few bytes a document, so that
lengths read no text."""

from collections.abc import Iterable, Sequence

import numpy as np

from geo_nemo.metadata.first_words import FEW, NO_TOKEN
from geo_nemo.store.shard import Shard

PARTS = ("title", "body")
# A shard, which of the documents that are asked for it has, and their numbers in it.
InShard = tuple[Shard, slice | np.ndarray, np.ndarray]


class FirstWords:
    """Those of all shards, numbered from 1 one shard behind the other; 0 is none that is known.

    Shards of older stores have none. number: of the words.
    """

    def __init__(self, shards: Sequence[Shard]):
        self._shards = shards
        counts = [shard.num_first_words for shard in shards]
        self._before = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._places = {shard.root: place for place, shard in enumerate(shards)}
        self.number = int(self._before[-1])

    def words(self, found: Iterable[InShard], number: int) -> np.ndarray:
        """The first words of titles and of bodies of `number` documents, int64 [2, n]."""
        words = np.zeros((2, number), np.int64)
        for shard, places, local in found:
            if not shard.num_first_words:
                continue
            before = self._before[self._places[shard.root]]
            for part, name in enumerate(PARTS):
                codes = shard.column(f"{name}_start.bin")[local].astype(np.int64)
                words[part, places] = np.where(codes > 0, codes + before, 0) if before else codes
        return words

    def tokens(self, words: np.ndarray) -> np.ndarray:
        """int32 [m, FEW]: the tokens of words that are known, [m], rising; NO_TOKEN behind them."""
        tokens = np.full((len(words), FEW), NO_TOKEN, np.int32)
        cuts = np.searchsorted(words, self._before, side="right")
        for place, shard in enumerate(self._shards):
            mine = slice(cuts[place], cuts[place + 1])
            local = words[mine] - self._before[place] - 1
            if not len(local):
                continue
            ids, sizes = shard.column("start.bin"), shard.column("start_size.bin")
            start = (np.cumsum(sizes, dtype=np.int64) - sizes)[local]
            ahead = ids.take(start[:, None] + np.arange(FEW), mode="clip").astype(np.int32)
            shown = np.arange(FEW) < sizes[local][:, None]
            tokens[mine] = np.where(shown, ahead, np.int32(NO_TOKEN))
        return tokens

    def are_complete(self) -> bool:
        """Whether every text that is not empty has a first word that is known."""
        return all(
            bool((shard.column(f"{name}_start.bin")[:] > 0)[_not_empty(shard, name)].all())
            if shard.num_first_words
            else not any(_not_empty(shard, part).any() for part in PARTS)
            for shard in self._shards
            for name in PARTS
        )


def _not_empty(shard: Shard, name: str) -> np.ndarray:
    ends = getattr(shard, f"{name}_end")
    return np.diff(ends.astype(np.int64), prepend=0) > 0
