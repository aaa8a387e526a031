"""A mixed model of paired differences: training seeds and documents are both drawn at random.

    difference[seed, document] = mean + seed + document + rest

Student's interval over seeds covers what another seed would give on these documents; this one
covers other documents of their kind as well. Every document is scored under every seed, so that
the design is balanced and restricted maximum likelihood has the closed form of the analysis of
variance (Searle, Casella and McCulloch 1992, 4.7); a component below 0 is 0, and its mean square
is pooled with the rest's.
"""

import math
from dataclasses import dataclass

import numpy as np

from eval.pooled import t_quantile


@dataclass(frozen=True, slots=True)
class Mixed:
    """mean with its interval; variances of seeds, of documents, and of the rest.

    degrees: of freedom of Student's distribution (Satterthwaite 1946). error: of the mean.
    """

    mean: float
    low: float
    high: float
    seeds: float
    documents: float
    rest: float
    degrees: float
    error: float


def crossed(differences: np.ndarray, confidence: float) -> Mixed:
    """Of float64 [seeds, documents], two or more of each."""
    seeds, documents = differences.shape
    mean = float(differences.mean())
    of_seed, of_document = differences.mean(1), differences.mean(0)
    rest = differences - of_seed[:, None] - of_document + mean
    sums = {
        "seeds": documents * float(((of_seed - mean) ** 2).sum()),
        "documents": seeds * float(((of_document - mean) ** 2).sum()),
        "rest": float((rest**2).sum()),
    }
    free = {"seeds": seeds - 1, "documents": documents - 1,
            "rest": (seeds - 1) * (documents - 1)}  # fmt: skip
    kept = ["seeds", "documents"]
    while True:
        pooled = [name for name in sums if name not in kept]
        error = sum(sums[n] for n in pooled) / sum(free[n] for n in pooled)
        squares = {name: sums[name] / free[name] for name in kept}
        below = [name for name in kept if squares[name] < error]
        if not below:
            break
        kept.remove(min(below, key=squares.__getitem__))
    # Each mean square that stands in the variance of the mean: its share, and degrees of freedom.
    terms = [(squares[name], free[name], 1) for name in kept]
    if len(kept) != 1:
        terms.append((error, sum(free[n] for n in pooled), 1 - len(kept)))
    size = seeds * documents
    variance = sum(sign * square for square, _, sign in terms) / size
    spread = sum((square / size) ** 2 / degrees for square, degrees, _ in terms)
    degrees = variance**2 / spread if spread else float(free["seeds"])
    # Whole degrees, fewer rather than more: the interval is no narrower than it should be.
    half = t_quantile(confidence, max(1, math.floor(degrees + 1e-9))) * math.sqrt(max(variance, 0))
    share = {"seeds": documents, "documents": seeds}
    return Mixed(
        mean, mean - half, mean + half,
        *((squares[n] - error) / share[n] if n in kept else 0.0 for n in share), error, degrees,
        math.sqrt(max(variance, 0)),
    )  # fmt: skip
