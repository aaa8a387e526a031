"""Which metadata fields a document shows in an epoch, as a bit mask.

The choice is a hash of (seed, stage, epoch, document, field), so that planning the rows and
composing them agree without anything being stored.
"""

import numpy as np

from geo_nemo.config.schema import MetadataPolicy
from geo_nemo.data.counter import derive_key, uniform


def mask_dtype(num_fields: int) -> np.dtype:
    """The type of a bit mask of so many fields; one byte for up to eight."""
    return np.dtype("u1" if num_fields <= 8 else "<u4" if num_fields <= 32 else "<u8")


def kept_fields(policy: MetadataPolicy, key: int, epoch: int, documents: np.ndarray) -> np.ndarray:
    """`mask_dtype` [n]: bit i is set where the document keeps `policy.fields[i]`.

    key: of the stage (`derive_key(seed, stage)`). documents: indices into the split, [n].
    """
    everything = (1 << len(policy.fields)) - 1
    kept = np.full(len(documents), everything, mask_dtype(len(policy.fields)))
    for place, field in enumerate(policy.fields):
        probability = policy.field_dropout.get(field, 0.0)
        if probability:
            draw = uniform(derive_key(key, "dropout", epoch, field), documents)
            kept[draw < probability] &= everything ^ (1 << place)
    if policy.dropout:
        draw = uniform(derive_key(key, "dropout", epoch, "document"), documents)
        kept[draw < policy.dropout] = 0
    return kept


def fields_of(policy: MetadataPolicy, kept: int) -> tuple[str, ...]:
    """The fields that a bit mask of `kept_fields` stands for."""
    return tuple(field for place, field in enumerate(policy.fields) if kept >> place & 1)
