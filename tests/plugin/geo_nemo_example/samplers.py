"""A sampler: a curriculum, from the oldest document to the newest."""

import numpy as np

from geo_nemo.data.draws import Drawn


class OldestFirst:
    """since: the first year; documents without a year come before it."""

    version = "1"

    def __init__(self, pool, since=0):
        years = np.asarray(pool.split.year[pool.documents])
        order = np.argsort(years, kind="stable")
        self.documents = pool.documents[order][years[order] >= since]
        self.size = pool.window
        self.windows_per_epoch = -(-len(self.documents) // self.size)

    def window(self, number):
        epoch, place = divmod(number, self.windows_per_epoch)
        chosen = self.documents[place * self.size : (place + 1) * self.size]
        return Drawn(chosen, np.full(len(chosen), epoch))
