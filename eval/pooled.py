"""Evaluations of the same comparison under several training seeds, pooled.

Within a seed a difference is paired over documents; seeds are the unit of the interval: Student's t
over their differences, with one degree of freedom less than there are seeds. It covers what another
seed would give, which intervals over documents do not. So no two evaluations may have a trained run
in common: their differences would move together. A model that was not trained here, and is the same
in all, is a fixed point: the interval is of other seeds of what is compared with it.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from geo_nemo.config import UserError
from geo_nemo.reporting import tables

SAME = ("store_hash", "split", "scored", "title_tokens", "body_tokens")


def pool(evaluations: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line an effect over all documents that every evaluation has: mean, interval, spread.

    evaluations: contents of `eval.json` by a name. `fixed` of a line: the run that is the same
    model in all; None mostly. Raises `UserError` for fewer than two, and where they scored other
    documents, or two have a run, or a run's training seed, in common.
    """
    if len(evaluations) < 2:
        raise UserError(
            "pooling needs two evaluations, of a training seed each: give --pool DIR once for each"
        )
    first, *_ = evaluations
    for name, evaluation in evaluations.items():
        for key in SAME:
            ours, theirs = evaluations[first]["documents"][key], evaluation["documents"][key]
            if ours != theirs:
                raise UserError(
                    f"{name} and {first} scored other documents ({key} {theirs} and {ours}): "
                    "evaluate them on the same"
                )
    fixed = _fixed(evaluations)
    _check_seeds(evaluations, fixed)
    lines = []
    for effect in evaluations[first]["perplexity"]["effects"]:
        if effect["group"] != "all":
            continue
        key = _key(effect)
        found = [
            next((e["nats"] for e in evaluation["perplexity"]["effects"] if _key(e) == key), None)
            for evaluation in evaluations.values()
        ]
        still = [run for run, _ in (effect["of"], effect["against"]) if run in fixed]
        if None in found or len(still) == 2:  # it would be the same under every seed
            continue
        mean, half = t_interval(found, evaluations[first]["config"]["confidence"])
        lines.append({
            "purpose": effect["purpose"], "of": effect["of"], "against": effect["against"],
            "part": effect["part"], "seeds": len(found), "nats": mean, "low": mean - half,
            "high": mean + half, "least": min(found), "most": max(found),
            "fixed": next(iter(still), None),
        })  # fmt: skip
    return lines


def _fixed(evaluations: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Names of the models of transformers that are the same in all evaluations."""
    runs = [evaluation["runs"] for evaluation in evaluations.values()]
    return {
        name
        for name, run in runs[0].items()
        if run.get("kind") == "hugging_face"
        and all(run["identity"] == other.get(name, {}).get("identity") for other in runs)
    }


def _check_seeds(evaluations: Mapping[str, Mapping[str, Any]], fixed: Collection[str]) -> None:
    """Raise `UserError` where two have weights in common, or a run of one training seed."""
    weights: dict[str, tuple[str, str]] = {}
    seeds: dict[tuple[str, int], str] = {}
    for name, evaluation in evaluations.items():
        for run, about in evaluation["runs"].items():
            if run in fixed:
                continue
            other, was = weights.setdefault(about.get("identity") or f"{name}/{run}", (name, run))
            if other != name:
                raise UserError(
                    f"run {run} of {name} and run {was} of {other} are of the same weights, so "
                    "that their differences are not independent: evaluate runs of a seed each"
                )
            seed = (about.get("trained") or {}).get("seed")
            if seed is not None and (other := seeds.setdefault((run, seed), name)) != name:
                raise UserError(
                    f"run {run} was trained with seed={seed} in {name} and in {other}: pool "
                    "evaluations of runs that were trained with a seed each"
                )


def _key(effect: Mapping[str, Any]) -> tuple:
    return effect["group"], effect["part"], effect["purpose"], *effect["of"], *effect["against"]


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Mean, and half the width of Student's interval."""
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return math.fsum(values) / len(values), t_quantile(confidence, len(values) - 1) * spread


@cache
def t_quantile(confidence: float, degrees: int) -> float:
    """Two-sided quantile of Student's distribution, by bisection of its integral."""
    wanted, low, high = (1 + confidence) / 2, 0.0, 1.0
    while t_distribution(high, degrees) < wanted:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_distribution(middle, degrees) < wanted else (low, middle)
    return (low + high) / 2


def t_distribution(t: float, degrees: int) -> float:
    """P(T <= t) for t >= 0, closed form for whole degrees (Abramowitz and Stegun 26.7.3 and .4)."""
    angle = math.atan2(t, math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + within) / 2


def markdown(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """The pooled differences as a table."""
    from eval.report.sentences import key_name, percent, ratio_of

    head = ("part", "of", "against", "change", "low", "high", "least", "most")
    figures = ("nats", "low", "high", "least", "most")
    rows = [
        [line["part"], key_name(line["of"]), key_name(line["against"]),
         *(percent(ratio_of(line[figure])) for figure in figures)]
        for line in lines
    ]  # fmt: skip
    fixed = sorted({line["fixed"] for line in lines} - {None})
    return "\n".join([
        f"# {len(names)} seeds: {', '.join(names)}", "",
        "Changes of perplexity; below 0, the first predicts better. Intervals are over seeds.", "",
        *(f"{name} is the same model in all: intervals are over seeds of the other.\n"
          for name in fixed),
        tables.markdown(head, rows),
    ])  # fmt: skip
