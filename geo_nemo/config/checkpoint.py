"""When checkpoints are written, how, and which of them stay."""

from geo_nemo.config.section import NonNegative, Positive, Section


class Checkpoint(Section):
    """Settings of the checkpoints.

    every_steps: how often one is written, besides the end of the run and a stop.
    keep_last: how many of the newest stay.
    keep_best: how many of those with the lowest validation loss stay besides: the mean of the
        losses with and without metadata, measured at the very step of the checkpoint.
    async_save: write from a copy in host memory while training goes on; the copy, as large as this
        rank's share of the checkpoint, is kept from save to save. Else training waits.
    """

    every_steps: Positive = 500
    keep_last: Positive = 2
    keep_best: NonNegative = 0
    async_save: bool = True
