"""Batches of random tokens with every mask that the loss rule must stand."""

import numpy as np

from geo_nemo.data.batches import Batch, stack_sequences
from geo_nemo.data.sequences import PackedSequence


def random_sequence(rng, length, vocab_size, trained_fraction, num_groups=3):
    """A sequence of documents of random lengths, `trained_fraction` of its labels trained."""
    borders = [0]
    while borders[-1] < length:
        borders.append(min(length, borders[-1] + int(rng.integers(3, 40))))
    lengths = np.diff(borders)
    return PackedSequence(
        tokens=rng.integers(0, vocab_size, length),
        labels=rng.integers(0, vocab_size, length),
        position_ids=np.concatenate([np.arange(n) for n in lengths]),
        loss_mask=(rng.random(length) < trained_fraction).astype(np.float32),
        group_ids=np.repeat(rng.integers(0, num_groups, len(lengths)), lengths),
        label_kinds=np.full(length, 5, np.uint8),
        cu_seqlens=np.array(borders, np.int32),
        max_seqlen=int(lengths.max()),
    )


def weighted_batches(seed, vocab_size, fractions=(0.02, 0.9, 0.0, 0.4)) -> list[Batch]:
    """Batches whose trained labels weigh up to 3 each, and in all less than 1 in the first."""
    rng = np.random.default_rng(seed)
    batches = ragged_batches(seed, vocab_size, fractions)
    for batch, most in zip(batches, (0.1, 1.0, 3.0, 3.0), strict=False):
        batch.loss_mask[...] *= rng.random(batch.loss_mask.shape, np.float32) * most
    return batches


def ragged_batches(
    seed, vocab_size, fractions=(0.02, 0.9, 0.0, 0.4), sequences=2, length=64
) -> list[Batch]:
    """A micro-batch for each share; 0.0 is one that is wholly masked."""
    rng = np.random.default_rng(seed)
    return [
        stack_sequences(
            [random_sequence(rng, length, vocab_size, fraction) for _ in range(sequences)],
            list(range(place * sequences, place * sequences + sequences)),
        )
        for place, fraction in enumerate(fractions)
    ]
