"""Stored ids of titles and bodies with another beginning or end (`geo_nemo.metadata.seams`)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from geo_nemo.metadata.first_words import FEW
from geo_nemo.metadata.seams import BLANK, CACHED, LABEL, STARTS_WORD, WORD, Seams

# A text without a word's start among so many is tokenised anew as a whole.
_SEARCHED = 64
_NOTHING = np.empty(0, np.int32)


class Spliced:
    """Stored ids with another beginning and end: front, stored[start:stop], back."""

    __slots__ = ("back", "front", "start", "stop")

    def __init__(self, front: np.ndarray, start: int, stop: int, back: np.ndarray):
        self.front = front
        self.start = start
        self.stop = stop
        self.back = back

    def __len__(self) -> int:
        return len(self.front) + self.stop - self.start + len(self.back)

    def take(self, stored: np.ndarray, first: int, last: int) -> np.ndarray:
        """The ids from `first` to before `last`; a view of `stored` where they lie in it."""
        shift, end = self.start - len(self.front), len(self) - len(self.back)
        if len(self.front) <= first and last <= end:
            return stored[first + shift : last + shift]
        return self.whole(stored)[first:last]

    def parts(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All ids as two arrays, one behind the other."""
        rest = stored[self.start : self.stop]
        return self.front, np.concatenate((rest, self.back)) if len(self.back) else rest

    def carried(self, kept: np.ndarray) -> np.ndarray:
        """What is said of stored ids, uint8 [n], said of all ids.

        Of those made anew it is 1 where it was of one that they stand for.
        """
        front, back = kept[: self.start], kept[self.stop :]
        ends = [
            np.full(len(new), old.any() if len(old) else 1, np.uint8)
            for new, old in ((self.front, front), (self.back, back))
        ]
        return np.concatenate((ends[0], kept[self.start : self.stop], ends[1]))

    def whole(self, stored: np.ndarray) -> np.ndarray:
        """All ids."""
        between = stored[self.start : self.stop]
        if len(self.back):
            return np.concatenate((self.front, between, self.back))
        return np.concatenate((self.front, between)) if len(self.front) else between


_EMPTY = Spliced(_NOTHING, 0, 0, _NOTHING)


class Splicer:
    """Splices titles, or bodies, that stand in one place of a template.

    left: what they stand behind. closed: they are titles, whose blank line stands before a word.
    before: what follows them and is no text of theirs, in two: what becomes their end, and what
    stands behind that.
    anew_front, anew_back: whether their first and their last words are tokenised anew.
    """

    def __init__(
        self,
        seams: Seams,
        left: str,
        closed: bool = False,
        before: tuple[str, str] | None = None,
    ):
        self._seams = seams
        self._kinds = seams.kinds
        self._left = left
        self._before = before
        self._after, self._right = before or ("", WORD if closed else "")
        self.anew_front = not seams.serves(left, closed)
        # Whether a vocabulary tokenises a blank line as what follows asks for.
        closes = self.anew_front and closed and not seams.serves(LABEL, True)
        self.anew_back = closes or before is not None
        # Of texts by their first ids: their front, and where the rest of them begins.
        self._fronts: dict[tuple[int, bytes], tuple[np.ndarray, int]] = {}
        self.front = lru_cache(CACHED)(self._front)
        self.back = lru_cache(CACHED)(self._back)

    @property
    def shows_nothing(self) -> bool:
        """Whether of an empty text nothing is shown."""
        return self._before is None

    def __call__(self, ids: np.ndarray) -> Spliced:
        """Of stored ids, [n]."""
        number = len(ids)
        if not number and self._before is None:
            return _EMPTY
        # As Python's numbers once: elements of a memory map cost ten times as much.
        if not self.anew_back:
            some = ids[:FEW].tolist()
            start = self._second_word(some) if self.anew_front else 0
            if start is None and number > FEW:
                some = ids[:_SEARCHED].tolist()
                start = self._second_word(some)
            if start is not None:
                return Spliced(self.front(tuple(some[:start])), start, number, _NOTHING)
        else:
            some = ids.tolist()
            start = self._second_word(some) if self.anew_front else 0
            stop = self._last_word(some)
            if start is not None and start < stop:
                front, back = self.front(tuple(some[:start])), self.back(tuple(some[stop:]))
                return Spliced(front, start, stop, back)
        whole = self._seams.anew(ids.tolist(), self._left, self._after, self._right)
        return Spliced(whole, number, number, _NOTHING)

    def parts(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`Spliced.parts` of stored ids, [n]; quicker for texts that begin as others did."""
        key = ids.itemsize, ids[:FEW].tobytes()
        found = self._fronts.get(key)
        if found is not None:
            return found[0], ids[found[1] :]
        spliced = self(ids)
        # Where more than the first ids decided, other texts of the same first ones may differ.
        if not self.anew_back and spliced.start < min(len(ids), FEW):
            if len(self._fronts) >= CACHED:
                self._fronts.clear()
            self._fronts[key] = spliced.front, spliced.start
        return spliced.parts(ids)

    def _second_word(self, ids: list[int]) -> int | None:
        """The first place, behind a visible token, where a word starts."""
        kinds, seen = self._kinds, False
        for place, token in enumerate(ids):
            kind = kinds[token]
            if seen and kind == STARTS_WORD:
                return place
            if kind != BLANK:
                seen = True
        return None

    def _last_word(self, ids: list[int]) -> int:
        """The last place where a word starts; 0 where there is none."""
        kinds = self._kinds
        for place in range(len(ids) - 1, 0, -1):
            if kinds[ids[place]] == STARTS_WORD:
                return place
        return 0

    def _front(self, ids: tuple[int, ...]) -> np.ndarray:
        return self._seams.anew(ids, self._left, "", "") if ids else _NOTHING

    def _back(self, ids: tuple[int, ...]) -> np.ndarray:
        return self._seams.back(ids, self._after, self._right)
