"""A packing: documents in their order, a new sequence where one does not fit."""

import numpy as np

from geo_nemo.data.packing import cut_documents


class NextFit:
    """Cuts as `best_fit` does."""

    version = "1"

    def __init__(self, seq_length, prefix_fragments):
        self.seq_length = seq_length

    def pack(self, lengths):
        cut = cut_documents(lengths, self.seq_length)
        sequence, room, sequence_of = -1, 0, []
        for taken in cut.positions.tolist():
            if taken > room:
                sequence, room = sequence + 1, self.seq_length
            room -= taken
            sequence_of.append(sequence)
        return cut, np.array(sequence_of), sequence + 1
