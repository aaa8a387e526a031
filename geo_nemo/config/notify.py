"""Who is told when a run ends."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from geo_nemo.config.section import Section

Event = Literal["finished", "failed", "stopped"]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Notify(Section):
    """A message at the end of a run, to a web address, a command, or both.

    webhook: the environment variable that holds the address, such as GEO_NEMO_WEBHOOK. The address
        itself is refused: it is a secret (Slack's is), and settings are kept and shown.
    command: is given the message as JSON on its standard input, and `on`'s word as GEO_NEMO_EVENT.
        It is no shell's line: `sh -c '...'` is one. It is kept in `run.json`: no secrets in it.
    on: what is told: the run is `finished`; has `failed`; or was `stopped`, and saved.
    timeout_seconds: how long each may take; what takes longer is given up.
    """

    webhook: str | None = None
    command: Annotated[str, Field(min_length=1)] | None = None
    on: tuple[Event, ...] = ("finished", "failed", "stopped")
    timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10

    @field_validator("webhook")
    @classmethod
    def _a_name(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.fullmatch(value):
            raise ValueError(
                "give the name of an environment variable that holds the address, "
                "notify.webhook=GEO_NEMO_WEBHOOK: the address is a secret, and settings are kept "
                "in run.json and in the checkpoints"
            )
        return value

    @property
    def is_asked_for(self) -> bool:
        """Whether anybody is to be told."""
        return self.webhook is not None or self.command is not None
