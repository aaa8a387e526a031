"""TensorBoard: event files in `<output>/tensorboard`."""

from collections.abc import Mapping
from typing import Any

from geo_nemo.train.callbacks.loggers.logger import Outcome, Told


class TensorBoard:
    """A new event file at each start, which purges what earlier ones have of later steps."""

    def __init__(self, told: Told):
        # torch's writer tells less clearly that it is missing.
        import tensorboard  # noqa: F401

        self._folder = told.output / "tensorboard"
        self._writer: Any = None  # until `on_start`

    def on_start(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is not None:
            self._writer.close()
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, outcome: Outcome) -> None:
        self._writer.close()
