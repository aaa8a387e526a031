"""Scored documents that a model was trained on, found by the hash of their text."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eval.model import Model
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import MANIFEST_NAME

TRAIN = "train"


def trained_on(
    hashes: np.ndarray, models: Mapping[str, Model], store: TokenStore | None
) -> dict[str, int]:
    """Run -> how many of the texts, uint64 [n], stand in the training split of its store.

    A run whose store is not here, and a model of somebody else's, is left out. store: what is
    scored, or was given beside it, which need not be opened again. In memory: the hashes of a
    shard.
    """
    found, counted = {}, {}
    for name, model in models.items():
        trained = store if store is not None and model.store_hash == store.hash else _opened(model)
        if trained is None:
            continue
        if trained.hash not in counted:
            counted[trained.hash] = _count(hashes, trained)
        found[name] = counted[trained.hash]
    return found


def _opened(model: Model) -> TokenStore | None:
    place = Path(model.store)
    if not model.store or not (place / MANIFEST_NAME).is_file():
        return None
    store = TokenStore.open(place)
    return store if store.hash == model.store_hash else None


def _count(hashes: np.ndarray, store: TokenStore) -> int:
    if TRAIN not in store.manifest.splits:
        return 0
    there = np.zeros(len(hashes), dtype=bool)
    for shard in store.shards(TRAIN):
        there |= np.isin(hashes, np.asarray(shard.content_hash))
    return int(there.sum())
