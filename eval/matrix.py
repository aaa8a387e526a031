"""From per-document sums to tables: perplexity by arm and group, and paired differences.

Perplexity is exp(sum of nats / number of tokens), a micro-average over tokens. Intervals resample
documents; all columns of a group share each resample, so differences are paired per document.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from eval.arms import generator
from eval.bootstrap import MIN_DOCUMENTS, percentile_interval, resampled_sums
from eval.config import Arm
from eval.documents import Documents
from eval.groups import Group
from eval.perplexity import Scores

PARTS = ("text", "title", "body")
Key = tuple[str, Arm]


@dataclass(frozen=True, slots=True)
class Effect:
    """A comparison: loss of `of` minus loss of `against`; below 0, `of` predicts better.

    purpose: which question the pair answers, for headings and sentences.
    """

    purpose: str
    of: Key
    against: Key


def effects(arms: Sequence[Arm], conditioned: Mapping[str, bool]) -> list[Effect]:
    """The comparisons that these arms and runs allow.

    conditioned: run -> whether any stage of it showed metadata.
    """
    plus = [run for run, yes in conditioned.items() if yes]
    minus = [run for run, yes in conditioned.items() if not yes]
    found = []
    for of, against in product(plus, minus):
        found += [
            Effect("conditioned model, told, against plain model", (of, "with"),
                   (against, "without")),
            Effect("conditioned model, not told, against plain model", (of, "without"),
                   (against, "without")),
        ]  # fmt: skip
    for run in [*plus, *minus]:
        found += [
            Effect("told against not told", (run, "with"), (run, "without")),
            Effect("shuffled against not told", (run, "shuffled"), (run, "without")),
            Effect("wrong country against not told", (run, "wrong_country"), (run, "without")),
            Effect("told against shuffled", (run, "with"), (run, "shuffled")),
        ]
    return [e for e in found if e.of[1] in arms and e.against[1] in arms]


def tables(
    documents: Documents,
    scores: Mapping[Key, Scores],
    found_groups: Sequence[Group],
    wanted: Sequence[Effect],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, list[dict]]:
    """`cells`: one line a (group, part, run, arm); `effects`: one a (group, part, effect).

    Each line has tokens, documents, the estimate and its interval; the interval is null below
    `MIN_DOCUMENTS` documents, and a line without tokens is left out.
    """
    keys = list(scores)
    cells, differences = [], []
    for group in found_groups:
        rng = generator(seed, f"bootstrap/{group.kind}/{group.name}")
        columns = _columns(documents, scores, keys, group.places)
        totals = columns.sum(0)
        # The same resamples serve title, body and both: one matrix of sums.
        resampled = (
            resampled_sums(columns, samples, rng) if len(group.places) >= MIN_DOCUMENTS else None
        )
        for number, part in enumerate(PARTS):
            rate = _rates(totals[None], number, len(keys))
            if rate is None:
                continue
            rates = None if resampled is None else _rates(resampled, number, len(keys))
            head = {
                "group": group.kind,
                "name": group.name,
                "part": part,
                "documents": len(group.places),
                "tokens": int(totals[number]),
            }
            for k, (run, arm) in enumerate(keys):
                low, high = _interval(None if rates is None else rates[:, k], confidence)
                cells.append({
                    **head, "run": run, "arm": arm, "nats": float(rate[0, k]),
                    "perplexity": _exp(rate[0, k]), "low": _exp(low), "high": _exp(high),
                })  # fmt: skip
            for effect in wanted:
                i, j = keys.index(effect.of), keys.index(effect.against)
                delta = None if rates is None else rates[:, i] - rates[:, j]
                low, high = _interval(delta, confidence)
                nats = float(rate[0, i] - rate[0, j])
                differences.append({
                    **head, **asdict(effect), "nats": nats, "low": low, "high": high,
                    "ratio": _exp(nats), "ratio_low": _exp(low), "ratio_high": _exp(high),
                })  # fmt: skip
    return {"cells": cells, "effects": differences}


def _columns(
    documents: Documents, scores: Mapping[Key, Scores], keys: Sequence[Key], places: np.ndarray
) -> np.ndarray:
    """[n, parts + parts * keys]: tokens of each part, then the nats of each part and key."""
    columns = [documents.tokens, documents.title_tokens, documents.body_tokens]
    for part in PARTS:
        columns += [getattr(scores[key], part) for key in keys]
    return np.stack([np.asarray(column, dtype=np.float64)[places] for column in columns], axis=1)


def _rates(sums: np.ndarray, part: int, num_keys: int) -> np.ndarray | None:
    """Nats per token of each key, [samples, keys]; None where the group has no such token.

    A resample without any token of the part, possible where few documents have a title, is left
    out.
    """
    tokens = sums[:, part]
    kept = tokens > 0
    if not kept.any():
        return None
    start = len(PARTS) + part * num_keys
    return sums[kept, start : start + num_keys] / tokens[kept, None]


def _interval(values: np.ndarray | None, confidence: float) -> tuple[float | None, float | None]:
    if values is None:
        return None, None
    low, high = percentile_interval(values, confidence)
    return float(low), float(high)


def _exp(value: float | None) -> float | None:
    # A loss above 700 nats a token has no finite perplexity; JSON has no infinity.
    return None if value is None or value > 700 else float(np.exp(value))
