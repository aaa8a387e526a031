"""What every rank must know of the others after a step: sums over all, heard a step later."""

from collections.abc import Callable

import torch
import torch.distributed as dist

from geo_nemo.train.arriving import Arriving
from geo_nemo.train.checkpoint.copies import Copies
from geo_nemo.train.checkpoint.manager import Checkpoints
from geo_nemo.train.step import Verdict


class Agreement:
    """An exchange of a few flags, of which one is under way at most. Every rank calls it alike.

    stopping: whether a rank was asked to stop, as all have heard. asked: whether this one was.
    """

    def __init__(
        self,
        device: torch.device,
        checkpoints: Checkpoints,
        copies: Copies,
        asked: Callable[[], bool],
    ):
        self.stopping = False
        self._device = device
        self._checkpoints = checkpoints
        self._copies = copies
        self._asked = asked
        self._under_way: Arriving | None = None

    def exchange(self, verdict: Verdict | None = None, waits: bool = True) -> bool:
        """Exchange what all must know after a step; whether a rank's verdict is a rewind.

        That is also whether a rank was asked to stop, and whether a save or copy is done. Without
        `waits` it is heard after the next step. Raises where a save has failed.
        """
        rewinding = self.hear()
        asks = verdict.action if verdict else ""
        mine = torch.tensor(
            (
                float(self._asked() or asks == "stop"),
                float(asks == "rewind"),
                *self._checkpoints.flags(),
                *self._copies.flags(),
            )
        )
        if self._device.type == "cuda":
            mine = mine.pin_memory()  # from other memory a copy waits for all that is under way
        sums = mine.to(self._device, non_blocking=True)
        dist.all_reduce(sums)
        self._under_way = Arriving(sums)
        if waits or self.stopping:
            rewinding |= self.hear()
        return rewinding

    def hear(self) -> bool:
        """Take up what the ranks have told each other last, if nobody has."""
        sums, self._under_way = self._under_way, None
        if sums is None:
            return False
        stop, rewind, saves, failed_saves, *copying = sums.numbers()
        self.stopping |= bool(stop)
        self._copies.advance(*copying)
        self._checkpoints.advance(saves, failed_saves)
        return bool(rewind)
