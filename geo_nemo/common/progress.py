"""How a long step tells whoever watches how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called often; cheap to ignore. `total` is None while it is unknown."""

    def __call__(self, stage: str, done: int, total: int | None = None, note: str = "") -> None: ...


def no_progress(stage: str, done: int, total: int | None = None, note: str = "") -> None:
    """The default: nobody watches."""
