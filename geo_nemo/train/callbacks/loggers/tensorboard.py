"""TensorBoard: event files in `<output>/tensorboard`."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from geo_nemo.train.callbacks.loggers.logger import Outcome, Told


class TensorBoard:
    """A new event file at each start, which purges what earlier ones have of later steps.

    So there is one after a disk that was full: the library's writer has ended with its thread.
    """

    def __init__(self, told: Told):
        # torch's writer tells less clearly that it is missing.
        import tensorboard  # noqa: F401

        self._folder = told.output / "tensorboard"
        self._writer: Any = None  # until `on_start`, and after one that failed

    def on_start(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with suppress(OSError):
            self._done()
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer is None:
            self.on_start(step - 1)
        try:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()
        except OSError:
            self._writer = None
            raise

    def close(self, outcome: Outcome) -> None:
        self._done()

    def _done(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
