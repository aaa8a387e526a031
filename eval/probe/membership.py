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
    hosts: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[dict[str, Any]]:
    """A line a measure: told, untold, and what telling gains.

    inside, outside: condition -> nats a token of training documents and of others, [n] and [m].
    hosts: of both, int; documents of a host are alike, so the interval resamples hosts, with all
    that they have on either side, else documents of each side. Null below `MIN_DOCUMENTS` of them.
    """
    measures = {
        condition: (inside[condition], outside[condition])
        for condition in inside if condition in outside
    }  # fmt: skip
    if {"with", "without"} <= measures.keys():
        # A text that was learnt behind its host gains more from it.
        measures["gain"] = tuple(of["with"] - of["without"] for of in (inside, outside))
    host = np.unique(np.concatenate(hosts), return_inverse=True)[1] if hosts else None
    lines = []
    for name, (mine, others) in measures.items():
        low = high = None
        units = len(np.intersect1d(*hosts)) if hosts else min(len(mine), len(others))
        if units >= MIN_DOCUMENTS:
            both = (_resampled(mine, others, host, rng) for _ in range(samples))
            drawn = np.array([area(*each) for each in both if all(map(len, each))])
            low, high = map(float, percentile_interval(drawn, confidence))
        lines.append({
            "measure": name, "area": area(mine, others), "low": low, "high": high,
            "inside": len(mine), "outside": len(others),
        })  # fmt: skip
    return lines


def _resampled(
    inside: np.ndarray,
    outside: np.ndarray,
    host: np.ndarray | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """host: number of each one's, from 0, of inside and then of outside."""
    if host is None:
        return rng.choice(inside, len(inside)), rng.choice(outside, len(outside))
    count = int(host.max()) + 1
    times = np.bincount(rng.integers(count, size=count), minlength=count)[host]
    return np.repeat(inside, times[: len(inside)]), np.repeat(outside, times[len(inside) :])
