"""Whether losses give away what a model was trained on, and whether a host makes that easier.

Documents of training and of the scored split are told apart by how well they are predicted, on
hosts that both have: an area under the curve of 0.5 tells nothing, 1 everything.
"""

from typing import Any

import numpy as np

from eval.bootstrap import MIN_DOCUMENTS, percentile_interval


def area(inside: np.ndarray, outside: np.ndarray) -> float:
    """P(inside < outside) + P(equal) / 2, over all pairs (Mann and Whitney 1947)."""
    order = np.concatenate([inside, outside])
    _, number, counts = np.unique(order, return_inverse=True, return_counts=True)
    # Ranks of equals are their mean.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[number.reshape(-1)]
    above = ranks[len(inside) :].sum() - len(outside) * (len(outside) + 1) / 2
    return float(above / (len(inside) * len(outside)))


def membership(
    inside: dict[str, np.ndarray],
    outside: dict[str, np.ndarray],
    *,
    samples: int,
    confidence: float,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """A line a measure: told, untold, and what telling gains.

    inside, outside: condition -> nats a token of training documents and of others, [n] and [m]. The
    interval resamples both; null where one has fewer than `MIN_DOCUMENTS`.
    """
    measures = {
        condition: (inside[condition], outside[condition])
        for condition in inside if condition in outside
    }  # fmt: skip
    if {"with", "without"} <= measures.keys():
        # A text that was learnt behind its host gains more from it.
        measures["gain"] = tuple(of["with"] - of["without"] for of in (inside, outside))
    lines = []
    for name, (mine, others) in measures.items():
        low = high = None
        if min(len(mine), len(others)) >= MIN_DOCUMENTS:
            drawn = np.array([
                area(rng.choice(mine, len(mine)), rng.choice(others, len(others)))
                for _ in range(samples)
            ])  # fmt: skip
            low, high = map(float, percentile_interval(drawn, confidence))
        lines.append({
            "measure": name, "area": area(mine, others), "low": low, "high": high,
            "inside": len(mine), "outside": len(others),
        })  # fmt: skip
    return lines
