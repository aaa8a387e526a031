"""Host memory that a save which overlaps training copies its tensors to."""

from typing import Any

import torch
from torch.distributed.checkpoint.metadata import MetadataIndex


class Staging:
    """Host memory that tensors are copied to, the same from save to save.

    Fresh memory costs several times the copy itself, for the system hands it out page by page.
    """

    def __init__(self) -> None:
        self._held: dict[MetadataIndex, torch.Tensor] = {}
        self._copied: dict[tuple[Any, ...], torch.Tensor] = {}

    def begin(self) -> None:
        """A new save: everything is to be copied again."""
        self._copied.clear()

    def copy(self, index: MetadataIndex, tensor: torch.Tensor) -> torch.Tensor:
        """A copy of `tensor` on the CPU; of one on a GPU, once the device is synchronised.

        What a save has under two names is copied once: in fp32 the optimizer's main parameters are
        the weights themselves.
        """
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if place not in self._copied:
            self._copied[place] = self._copy(index, tensor)
        return self._copied[place]

    def _copy(self, index: MetadataIndex, tensor: torch.Tensor) -> torch.Tensor:
        held = self._held.get(index)
        if held is None or (held.shape, held.dtype) != (tensor.shape, tensor.dtype):
            held = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self._held[index] = held
        return held.copy_(tensor, non_blocking=True)
