"""Which metadata fields a document shows in an epoch, as a bit mask, and whether its labels.

The choice is a hash of (seed, stage, epoch, document, field), so that planning the sequences and
composing them agree without anything being stored.
"""

import numpy as np

from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.data.counter import derive_key, uniform

# How a document stands in a sequence: behind metadata, in the template without any, or as plain
# text.
SHOWN = ("with", "without", "plain")


def mask_dtype(policy: MetadataPolicy) -> np.dtype:
    """The type of a policy's bit masks; one byte for up to eight fields."""
    bits = len(policy.fields) + (policy.plain_dropout > 0)
    return np.dtype("u1" if bits <= 8 else "<u4" if bits <= 32 else "<u8")


def kept_fields(policy: MetadataPolicy, key: int, epoch: int, documents: np.ndarray) -> np.ndarray:
    """`mask_dtype` [n]: bit i is set where the document keeps `policy.fields[i]`.

    The bit above those of the fields, alone, stands for plain text.
    key: of the stage (`derive_key(seed, stage)`). documents: indices into the split, [n].
    """
    everything = (1 << len(policy.fields)) - 1
    kept = np.full(len(documents), everything, mask_dtype(policy))
    for place, field in enumerate(policy.fields):
        probability = policy.field_dropout.get(field, 0.0)
        if probability:
            draw = uniform(derive_key(key, "dropout", epoch, field), documents)
            kept[draw < probability] &= everything ^ (1 << place)
    if policy.dropout or policy.plain_dropout:
        draw = uniform(derive_key(key, "dropout", epoch, "document"), documents)
        # One draw for both: a fraction of plain text leaves the documents of `dropout` as they are.
        kept[draw < policy.dropout + policy.plain_dropout] = _plain_mask(policy)
        kept[draw < policy.dropout] = 0
    return kept


def _plain_mask(policy: MetadataPolicy) -> int:
    return (1 << len(policy.fields)) if policy.plain_dropout else 0


def is_plain(policy: MetadataPolicy, kept: int) -> bool:
    """Whether a bit mask of `kept_fields` stands for plain text."""
    return policy.plain_dropout > 0 and kept == _plain_mask(policy)


def are_plain(policy: MetadataPolicy, kept: np.ndarray) -> np.ndarray:
    """`is_plain` of many, bool [n]."""
    if not policy.plain_dropout:
        return np.zeros(len(kept), bool)
    return kept == _plain_mask(policy)


def shown(policy: MetadataPolicy, kept: np.ndarray) -> np.ndarray:
    """Place in `SHOWN` of each document, int64 [n], by its bit mask."""
    return np.where(are_plain(policy, kept), 2, np.where(kept == 0, 1, 0))


def fields_of(policy: MetadataPolicy, kept: int) -> tuple[str, ...]:
    """The fields that a bit mask of `kept_fields` stands for."""
    return tuple(field for place, field in enumerate(policy.fields) if kept >> place & 1)
