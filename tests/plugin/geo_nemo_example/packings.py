"""A packing: documents in their order, a new row where one does not fit."""

import numpy as np

from geo_nemo.data.packing import cut_documents


class NextFit:
    """Cuts as `best_fit` does."""

    version = "1"

    def __init__(self, seq_length, prefix_fragments):
        self.seq_length = seq_length

    def pack(self, lengths):
        cut = cut_documents(lengths, self.seq_length)
        row, room, row_of = -1, 0, []
        for taken in cut.positions.tolist():
            if taken > room:
                row, room = row + 1, self.seq_length
            room -= taken
            row_of.append(row)
        return cut, np.array(row_of), row + 1
