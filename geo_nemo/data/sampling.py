"""The sampler of a stage by name; one from outside is checked, and what goes wrong names it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from geo_nemo.common.errors import RunError
from geo_nemo.config import Sampling
from geo_nemo.config.kinds import SAMPLERS
from geo_nemo.config.plugins import blaming
from geo_nemo.data.draws import Drawn, Draws
from geo_nemo.data.mixing import Pool

if TYPE_CHECKING:
    from geo_nemo.store import Split


def stage_draws(pool: Pool) -> Draws:
    """How a stage draws its documents. Raises UserError where settings do not fit them."""
    rule = pool.sampling.rule
    if rule in SAMPLERS.known:
        return SAMPLERS.load(rule, _setting(pool.stage))(pool)
    drawn = Brought(pool)
    if len(pool.documents):  # a stage without documents has an error of its own
        drawn.window(0)
    return drawn


def sampling_identity(sampling: Sampling, stage: str) -> str:
    """The rule and its settings as one line; of one from outside, its version too."""
    who = SAMPLERS.brought(sampling.rule, _setting(stage))
    return f"{sampling.canonical()} {who}" if who else sampling.canonical()


def _setting(stage: str) -> str:
    return f"stages.{stage}.sampling.sampler"


@dataclass(frozen=True)
class Brought:
    """Holds a sampler from outside; every window that it draws is checked.

    A worker has the pool without its arrays, and makes the sampler anew over its own.
    """

    pool: Pool

    @property
    def documents(self) -> np.ndarray:
        return self.pool.documents

    @property
    def windows_per_epoch(self) -> int | None:
        found = getattr(self._held, "windows_per_epoch", None)
        if found is not None and (type(found) is not int or found < 1):
            what = f"{self._name} has windows_per_epoch={found!r:.40}"
            raise RunError(f"{what}, not a whole number from 1, or None; {self._mend}")
        return found

    def window(self, number: int) -> Drawn:
        with blaming(self._at(number), self._mend):
            drawn = self._held.window(number)
            documents, epochs = _whole(drawn.documents), _whole(drawn.epochs)
        if wrong := self._wrong_with(documents, epochs):
            raise RunError(f"{self._at(number)} {wrong}; {self._mend}")
        return Drawn(documents, epochs)

    def epochs(self, documents: np.ndarray, drawn: float) -> np.ndarray:
        """Its own; the same for every group that is there, where it tells none."""
        if not hasattr(self._held, "epochs"):
            return np.where(documents > 0, drawn / len(self.documents), 0.0)
        with blaming(self._name, self._mend):
            told = np.asarray(self._held.epochs(documents, drawn), np.float64)
            if not (np.isfinite(told).all() and (told >= 0).all()):
                raise ValueError("epochs that are no numbers from 0")
            return np.broadcast_to(told, documents.shape)

    def over(self, documents: np.ndarray, split: Split | None = None) -> Self:
        # None where it is only sent on: a worker has a split of its own.
        pool = replace(self.pool, documents=documents, split=cast("Split", split))
        return replace(self, pool=pool)

    @cached_property
    def _held(self) -> Any:
        sampling = self.pool.sampling
        setting = _setting(self.pool.stage)
        return SAMPLERS.make(sampling.rule, setting, self.pool, options=sampling.options)

    @cached_property
    def _sorted(self) -> np.ndarray:
        return np.sort(self.pool.documents)

    def _wrong_with(self, documents: np.ndarray, epochs: np.ndarray) -> str:
        if len(documents) != len(epochs):
            return f"draws {len(documents)} documents, and epochs of {len(epochs)}"
        if not len(documents):
            return "draws nothing"
        most = self.pool.window
        if len(documents) > most:
            return f"draws {len(documents)} documents, and data.packing_window is {most}"
        if (epochs < 0).any():
            return f"gives an epoch of {int(epochs.min())}"
        known = self._sorted
        places = np.minimum(np.searchsorted(known, documents), len(known) - 1)
        if (unknown := documents[known[places] != documents]).size:
            return f"draws document {unknown[0]}, which the stage has not"
        return ""

    @property
    def _name(self) -> str:
        return f"the sampler {self.pool.sampling.rule}"

    def _at(self, number: int) -> str:
        return f"{self._name}, at window {number},"

    @property
    def _mend(self) -> str:
        return f"mend it or take it out of {_setting(self.pool.stage)}"


def _whole(column: Any) -> np.ndarray:
    """int64 [n]. TypeError for another type, ValueError for another shape."""
    found = np.asarray(column)
    if found.ndim != 1:
        raise ValueError(f"an array of shape {found.shape}, not of one dimension")
    return found.astype(np.int64, casting="safe") if len(found) else found.astype(np.int64)
