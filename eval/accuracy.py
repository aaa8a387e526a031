"""From chosen options to tables: accuracy by kind, run and arm, and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from eval.arms import generator
from eval.bootstrap import MIN_DOCUMENTS, percentile_interval, resampled_sums, wilson_interval
from eval.matrix import Effect, Key
from eval.questions import Answers, QuestionSet, chance

RULES = ("by_sum", "by_mean")


def tables(
    asked: QuestionSet,
    answers: Mapping[Key, Answers],
    wanted: Sequence[Effect],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, list[dict]]:
    """`cells`: accuracy of each (kind, group, run, arm, rule) with Wilson's interval; `effects`:
    paired differences of accuracy with a bootstrap interval over questions, `by_sum`, in all
    countries together; null below `MIN_DOCUMENTS` questions.
    """
    right = np.array([question.answer for question in asked.questions])
    cells, differences = [], []
    for kind, group, name, places in _groups(asked):
        head = {"kind": kind, "group": group, "name": name, "questions": len(places)}
        for (run, arm), answer in answers.items():
            for rule in RULES:
                correct = int((getattr(answer, rule)[places] == right[places]).sum())
                low, high = wilson_interval(correct, len(places), confidence)
                cells.append({
                    **head, "run": run, "arm": arm, "rule": rule, "correct": correct,
                    "accuracy": correct / len(places), "low": low, "high": high,
                    "chance": chance([asked.questions[p] for p in places]),
                })  # fmt: skip
        if group != "all":
            continue
        keys = list(answers)
        hits = np.stack([answers[key].by_sum[places] == right[places] for key in keys], axis=1)
        rates = None
        if len(places) >= MIN_DOCUMENTS:
            rng = generator(seed, f"questions/{kind}")
            rates = resampled_sums(hits.astype(np.float64), samples, rng) / len(places)
        for effect in wanted:
            i, j = keys.index(effect.of), keys.index(effect.against)
            low = high = None
            if rates is not None:
                low, high = map(float, percentile_interval(rates[:, i] - rates[:, j], confidence))
            difference = float(hits[:, i].mean() - hits[:, j].mean())
            differences.append({
                **head, **asdict(effect), "difference": difference, "low": low, "high": high,
            })  # fmt: skip
    return {"cells": cells, "effects": differences}


def _groups(asked: QuestionSet) -> list[tuple[str, str, str, np.ndarray]]:
    """(kind, group, name, places) for every kind that is asked: all, continents, countries."""
    kinds = np.array([question.kind for question in asked.questions])
    found = []
    for kind in ("local", "shared"):
        mine = np.flatnonzero(kinds == kind)
        if not len(mine):
            continue
        found.append((kind, "all", "all", mine))
        for group in ("continent", "country"):
            names = np.array([getattr(asked.questions[p], group) for p in mine])
            found += [(kind, group, str(name), mine[names == name]) for name in np.unique(names)]
    return found
