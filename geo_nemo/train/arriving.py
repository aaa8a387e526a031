"""Numbers on their way from the device to the host, for which nobody waits yet."""

import torch


class Arriving:
    """A copy of a small tensor, which nobody may change any more."""

    def __init__(self, tensor: torch.Tensor):
        # From a GPU into pinned memory, beside what it computes.
        self._host = tensor.to("cpu", non_blocking=True)
        self._copied = None
        if tensor.is_cuda:
            self._copied = torch.cuda.current_stream(tensor.device).record_event()

    def numbers(self) -> list[float]:
        """The numbers; waits until they are here."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._host.numpy().tolist()
