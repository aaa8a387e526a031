"""Linear probes of every layer, and how countries lie in it.

A document is the mean of the hidden states over its body's tokens. Probes are fitted on some hosts
and tested on others, so that an outlet's style is not taken for its country.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.bootstrap import clustered_wilson
from geo_nemo.common.ridge import probe


def held_back_hosts(hosts: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Which documents are tested, bool [n]; all of a host's are, or none."""
    return np.array([
        zlib.crc32(f"{seed} probe {host}".encode()) / 2**32 < fraction for host in hosts
    ])  # fmt: skip


def of_fields(
    states: np.ndarray,
    values: dict[str, np.ndarray],
    hosts: np.ndarray,
    tested: np.ndarray,
    penalty: float,
    confidence: float,
) -> list[dict[str, Any]]:
    """A line a field and layer.

    states: float [layers, n, d]; layer 0 is the embeddings. values: by field, of str [n]; documents
    without one are left out. hosts: str [n], whose documents are alike, so that the interval is no
    surer than they are many.
    """
    lines = []
    for field, labels in values.items():
        there = np.flatnonzero(labels != "")
        for layer, features in enumerate(states):
            found = probe(features[there], labels[there], tested[there], penalty)
            if found is None:
                continue
            of = hosts[there][tested[there]]
            low, high = clustered_wilson(found.right, of, confidence)
            lines.append({
                "field": field, "layer": layer, "fitted": found.fitted, "tested": found.tested,
                "classes": found.classes, "accuracy": found.accuracy, "low": low, "high": high,
                "majority": found.majority, "chance": found.chance,
            })  # fmt: skip
    return lines


def explained(features: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of the features' variance that lies between the classes: 0 none, 1 all of it.

    features: [n, d]. labels: [n].
    """
    x = np.asarray(features, np.float64)
    x = x - x.mean(0)
    whole = float((x**2).sum())
    between = sum(
        (labels == label).sum() * float((x[labels == label].mean(0) ** 2).sum())
        for label in np.unique(labels)
    )
    return between / whole if whole else 0.0


def of_regions(
    states: np.ndarray, country: np.ndarray, continent: np.ndarray, least: int = 5
) -> list[dict[str, Any]]:
    """A line a continent and layer: as if it had been left out, where do its documents lie?

    explained: variance of its own documents that lies between its countries. nearest: of each other
    continent, the share of its documents whose nearest centre, of that continent's countries, is
    the nearest of all. Centres are of countries with `least` documents; distances are of cosine.
    """
    lines = []
    kept = np.array([(country == c).sum() >= least and c != "" for c in country])
    if not kept.any():
        return lines
    for layer, features in enumerate(states):
        unit = features - features[kept].mean(0)
        unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
        for region in sorted(set(continent[kept]) - {""}):
            mine, others = kept & (continent == region), kept & (continent != region)
            names = sorted(set(country[others]))
            if not names:
                continue
            centres = np.stack([unit[others & (country == name)].mean(0) for name in names])
            centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
            of = [continent[others & (country == name)][0] for name in names]
            nearest = np.array(of)[(unit[mine] @ centres.T).argmax(1)]
            several = len(set(country[mine])) > 1
            lines.append({
                "region": region, "layer": layer, "documents": int(mine.sum()),
                "explained": explained(unit[mine], country[mine]) if several else None,
                "nearest": {other: float((nearest == other).mean()) for other in sorted(set(of))},
            })  # fmt: skip
    return lines
