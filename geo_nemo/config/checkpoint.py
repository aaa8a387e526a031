"""When checkpoints are written, how, where they are copied to, and which of them stay."""

from typing import Annotated

from pydantic import Field, field_validator

from geo_nemo.common.addresses import check_address
from geo_nemo.config.section import NonNegative, Positive, Section


class Checkpoint(Section):
    """Settings of the checkpoints.

    every_steps: how often one is written, besides the end of the run and a stop.
    keep_last: how many of the newest stay.
    keep_best: how many of those with the lowest validation loss stay besides: the mean of the
        losses with and without metadata, measured at the very step of the checkpoint.
    async_save: write from a copy in host memory while training goes on; the copy, as large as this
        rank's part of the checkpoint, is kept from save to save. Else training waits.
    remote: `s3://bucket/folder` of this run alone, which receives a copy of each checkpoint beside
        training. A run whose own folder has no checkpoint as new as those there goes on from them.
    remote_keep_last: how many of the newest stay there.
    remote_wait_minutes: how long the end of the run, or a stop, waits for the copy; a stop before a
        time limit has health.margin_minutes for both the save and its copy.
    """

    every_steps: Positive = 500
    keep_last: Positive = 2
    keep_best: NonNegative = 0
    async_save: bool = True
    remote: str | None = None
    remote_keep_last: Positive = 2
    remote_wait_minutes: Annotated[float, Field(ge=0)] = 5

    @field_validator("remote")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        return None if value is None else check_address("checkpoint.remote", value)
