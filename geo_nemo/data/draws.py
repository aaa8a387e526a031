"""Which documents the windows of a stage draw: as they are, epoch after epoch, or mixed by group.

A window's documents follow from its number alone, so that windows can be planned anywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

import numpy as np

from geo_nemo.data.counter import derive_key, hash64, permute

if TYPE_CHECKING:
    from geo_nemo.store import Split

# Documents that a group gives to a window are counted in fixed point, so that no window's border
# depends on how a machine rounds.
FRACTION_BITS = 40
# Places of a group's order that are found at once.
_BLOCK = 4096


@dataclass(frozen=True)
class Drawn:
    """documents: indices into the split; epochs: how often each was drawn before; int64 [n]."""

    documents: np.ndarray
    epochs: np.ndarray


class Draws(Protocol):
    """What a planner asks for documents.

    documents: all that may be drawn, [n]. windows_per_epoch: windows that hold each of them once;
    None where groups have epochs of their own.
    """

    @property
    def documents(self) -> np.ndarray: ...

    @property
    def windows_per_epoch(self) -> int | None: ...

    def over(self, documents: np.ndarray, split: Split | None = None) -> Self:
        """The same of these documents. split: that has them; None for who only sends it on."""
        ...

    def window(self, number: int) -> Drawn: ...

    def epochs(self, documents: np.ndarray, drawn: float) -> np.ndarray:
        """How often each group's `documents` [g] are seen in so many drawn ones, float64 [g]."""
        ...


@dataclass(frozen=True)
class EpochDraws:
    """Every document once an epoch, in a new order each time; a window never holds two epochs.

    key: of the stage. size: documents of a window, but for the last of an epoch.
    """

    documents: np.ndarray
    key: int
    size: int

    @property
    def windows_per_epoch(self) -> int:
        """Windows that hold each document once."""
        return -(-len(self.documents) // self.size)

    def over(self, documents: np.ndarray, split: Split | None = None) -> Self:
        """The same of these documents."""
        return replace(self, documents=documents)

    def window(self, number: int) -> Drawn:
        """The documents of window `number`, counted over epochs."""
        epoch, place = divmod(number, self.windows_per_epoch)
        first = place * self.size
        places = np.arange(first, min(first + self.size, len(self.documents)))
        order = derive_key(self.key, "order", epoch)
        chosen = self.documents[permute(order, len(self.documents), places)].astype(np.int64)
        return Drawn(chosen, np.full(len(chosen), epoch, dtype=np.int64))

    def epochs(self, documents: np.ndarray, drawn: float) -> np.ndarray:
        """The same for every group that is there."""
        return np.where(documents > 0, drawn / len(self.documents), 0.0)


class GroupDraws(ABC):
    """Groups of documents; each goes through its own once, then again in a new order.

    Subclasses are dataclasses and have these fields among theirs. documents: group after group.
    starts: int64 [g + 1], where each group begins. key: of the stage.
    """

    documents: np.ndarray
    starts: np.ndarray
    key: int

    windows_per_epoch = None

    @abstractmethod
    def drawn_before(self, number: int) -> list[int]:
        """Documents of each group in all windows before `number`."""

    @property
    def num_groups(self) -> int:
        """Groups, those without documents among them."""
        return len(self.starts) - 1

    @cached_property
    def _offsets(self) -> list[int]:
        key = derive_key(self.key, "offsets")
        # Without them every rare group would first be drawn in the same late window.
        return (hash64(key, np.arange(self.num_groups)) >> np.uint64(64 - FRACTION_BITS)).tolist()

    @cached_property
    def _order(self) -> Callable[[int, int, int], np.ndarray]:
        """A block of a group's order in an epoch; a window takes little, and the next goes on."""
        return lru_cache(2 * self.num_groups)(self._permuted)

    def _permuted(self, group: int, epoch: int, block: int) -> np.ndarray:
        size = int(self.starts[group + 1] - self.starts[group])
        places = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, size))
        return permute(derive_key(self.key, "order", group, epoch), size, places)

    def over(self, documents: np.ndarray, split: Split | None = None) -> Self:
        """The same of these documents."""
        return replace(cast(Any, self), documents=documents)

    def window(self, number: int) -> Drawn:
        """The documents of window `number`, groups in random order."""
        documents, epochs = [], []
        borders = zip(self.drawn_before(number), self.drawn_before(number + 1), strict=True)
        for group, (first, last) in enumerate(borders):
            start = int(self.starts[group])
            size = int(self.starts[group + 1]) - start
            while first < last:
                epoch, place = divmod(first, size)
                block, place = divmod(place, _BLOCK)
                order = self._order(group, epoch, block)[place : place + last - first]
                documents.append(self.documents[start + order].astype(np.int64))
                epochs.append(np.full(len(order), epoch, dtype=np.int64))
                first += len(order)
        if not documents:
            return Drawn(np.empty(0, np.int64), np.empty(0, np.int64))
        together = np.concatenate(documents)
        mixed = permute(
            derive_key(self.key, "mix", number), len(together), np.arange(len(together))
        )
        return Drawn(together[mixed], np.concatenate(epochs)[mixed])


@dataclass(frozen=True)
class MixedDraws(GroupDraws):
    """Groups at given rates.

    documents, starts, key: of `GroupDraws`. rates: float64 [g], fraction of the drawn documents;
    they add up to 1. size: documents of a window.
    """

    documents: np.ndarray
    starts: np.ndarray
    rates: np.ndarray
    key: int
    size: int

    @cached_property
    def _steps(self) -> list[int]:
        return [round(rate * self.size * (1 << FRACTION_BITS)) for rate in self.rates.tolist()]

    def epochs(self, documents: np.ndarray, drawn: float) -> np.ndarray:
        """From the groups' rates."""
        return self.rates * drawn / np.maximum(documents, 1)

    def drawn_before(self, number: int) -> list[int]:
        """Documents of each group in all windows before `number`."""
        steps = zip(self._steps, self._offsets, strict=True)
        return [(number * step + offset) >> FRACTION_BITS for step, offset in steps]
