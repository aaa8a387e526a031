"""The sequences of a whole run, one stage after another, for loaders that number their samples.

Sample i of a run belongs to the stage that takes it, so the switch to the cooldown is a property of
the sample's number: it needs no callback, and a run that resumes by consumed samples goes on where
it was.
"""

from collections.abc import Sequence
from dataclasses import fields

import torch

from geo_nemo.data.batches import Batch, stack_sequences
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.train.setup import Prepared

Sample = tuple[int, PackedSequence]
# The one field of a batch that is no array.
_NUMBER = "max_seqlen"


class RunSequences(torch.utils.data.Dataset):
    """`train.steps * train.global_batch_size` sequences in the order in which the run takes them.

    Every rank makes it; rank 0 builds the packing indices, or finds them.
    """

    def __init__(self, prepared: Prepared):
        size = prepared.run.train.global_batch_size
        self.firsts = [stage.first_step * size for stage in prepared.stages]
        self.num_samples = prepared.stages[-1].last_step * size
        self.datasets = [prepared.dataset(stage) for stage in prepared.stages]

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, sample: int) -> Sample:
        """The sequence, and its number within its stage."""
        if not 0 <= sample < self.num_samples:
            raise IndexError(f"sample {sample} of {self.num_samples}")
        stage = max(s for s, first in enumerate(self.firsts) if first <= sample)
        place = int(sample) - self.firsts[stage]
        return place, self.datasets[stage][place]

    @staticmethod
    def collate_fn(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """A micro-batch as CPU tensors, by the names of `geo_nemo.data.batches.Batch`."""
        batch = stack_sequences(
            [sequence for _, sequence in samples], [place for place, _ in samples]
        )
        return {f.name: torch.as_tensor(getattr(batch, f.name)) for f in fields(Batch)}


def as_batch(tensors: dict[str, torch.Tensor]) -> Batch:
    """What `RunSequences.collate_fn` made, as the batch that it was made of."""
    arrays = {f.name: tensors[f.name].numpy() for f in fields(Batch)}
    return Batch(**{**arrays, _NUMBER: int(arrays[_NUMBER])})
