"""How a difference lies over countries and over the text: worst and spread, constant and slope.

`over_countries` tells of each comparison what a mean over documents hides: the country that has
least of it, the mean over countries, and their standard deviation. `constant_and_slope` fits what
is gained up to a token t of a text by constant + slope * t: what metadata give once, and what they
give with every token.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.bootstrap import MIN_DOCUMENTS, percentile_interval, resampled_sums
from eval.conditions import generator
from eval.documents import Documents
from eval.matrix import Effect, Key
from eval.perplexity import Scores
from eval.where import changes_by_band
from geo_nemo.metadata.geography import UNKNOWN


def over_countries(effects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line an effect and part, of the lines by country that have an interval.

    mean: over countries, nats a token, each country alike. spread: their standard deviation with
    n - 1. worst, best: names; their nats and intervals beside. better,
    worse: countries whose interval is clear of 0. Documents that nobody placed are no country.
    """
    found: dict[tuple, list[Mapping[str, Any]]] = {}
    for line in effects:
        if line["group"] == "country" and line["name"] != UNKNOWN and line["low"] is not None:
            key = (line["part"], line["purpose"], tuple(line["of"]), tuple(line["against"]))
            found.setdefault(key, []).append(line)
    return [
        {
            "part": part, "purpose": purpose, "of": of, "against": against,
            "countries": len(lines), "mean": float(np.mean([e["nats"] for e in lines])),
            "spread": float(np.std([e["nats"] for e in lines], ddof=1)),
            **_extreme("worst", max(lines, key=lambda e: e["nats"])),
            **_extreme("best", min(lines, key=lambda e: e["nats"])),
            "better": sum(e["high"] < 0 for e in lines), "worse": sum(e["low"] > 0 for e in lines),
        }
        for (part, purpose, of, against), lines in found.items()
        if len(lines) > 1
    ]  # fmt: skip


def _extreme(which: str, line: Mapping[str, Any]) -> dict[str, Any]:
    return {which: line["name"], **{f"{which}_{k}": line[k] for k in ("nats", "low", "high")}}


def constant_and_slope(
    documents_of: Mapping[str, Documents],
    scores: Mapping[Key, Scores],
    wanted: Sequence[Effect],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, Any]]:
    """A line an effect of one tokenizer: constant in nats a document, slope in nats a token.

    The points are the summed differences up to the end of each band of places that a document
    reaches; least squares over all of them. Intervals resample documents, whose points belong
    together; null below `MIN_DOCUMENTS`.
    """
    lines = []
    for number, effect, tokens, change in changes_by_band(documents_of, scores, wanted):
        sums = moments(tokens, change)
        fitted = solved(sums.sum(0)[None])
        if fitted is None:
            continue
        ends: dict[str, float | None] = {}
        drawn = None
        if len(sums) >= MIN_DOCUMENTS:
            rng = generator(seed, f"constant and slope/{number}")
            drawn = solved(resampled_sums(sums, samples, rng))
        for column, name in enumerate(("constant", "slope")):
            low = high = None
            if drawn is not None:
                low, high = map(float, percentile_interval(drawn[:, column], confidence))
            ends |= {name: float(fitted[0, column]), f"{name}_low": low, f"{name}_high": high}
        lines.append({
            "purpose": effect.purpose, "of": effect.of, "against": effect.against,
            "documents": len(sums), "points": int(sums[:, 0].sum()), **ends,
        })  # fmt: skip
    return lines


def moments(tokens: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Of each document: points, and sums of t, t * t, y and t * y over them, float64 [n, 5].

    tokens, change: of each document and band, [n, bands]. t: tokens up to the end of a band, y: the
    change up to there.
    """
    at, gained = np.cumsum(tokens, axis=1, dtype=np.float64), np.cumsum(change, axis=1)
    there = (tokens > 0).astype(np.float64)
    parts = (there, at * there, at * at * there, gained * there, at * gained * there)
    return np.stack([part.sum(1) for part in parts], axis=1)


def solved(sums: np.ndarray) -> np.ndarray | None:
    """Constant and slope of sums of moments [draws, 5], float64 [draws, 2].

    Draws whose points all have one t are left out; None where no draw has two.
    """
    n, t, tt, y, ty = sums.T
    width = n * tt - t * t
    kept = width > 1e-9 * np.maximum(n * tt, 1)
    if not kept.any():
        return None
    n, t, tt, y, ty, width = (part[kept] for part in (n, t, tt, y, ty, width))
    slope = (n * ty - t * y) / width
    return np.stack([(y - slope * t) / n, slope], axis=1)
