"""From chosen options to tables: accuracy by kind, run and condition, differences, locale switch.

Where some questions are kept for choices, the scoring rule is the one with the highest accuracy on
them, and they are in no table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from eval import switch
from eval.bootstrap import MIN_DOCUMENTS, clustered_wilson, percentile_interval, resampled_sums
from eval.conditions import generator
from eval.config import CONTRAST
from eval.matrix import Effect, Key
from eval.question_files import QuestionSet
from eval.questions import Answers, chance
from eval.significance import cluster_sums, holm, mcnemar
from geo_nemo.metadata.geography import UNKNOWN

# The rules of an evaluation that names none.
DEFAULT_RULES = ("by_sum", "by_mean")


def tables(
    asked: QuestionSet,
    answers: Mapping[Key, Answers],
    wanted: Sequence[Effect],
    *,
    samples: int,
    confidence: float,
    seed: int,
    rules: Sequence[str] = DEFAULT_RULES,
    for_choices: np.ndarray | None = None,
    off_distribution: Mapping[str, bool] | None = None,
) -> dict[str, Any]:
    """`cells`: accuracy of each (kind, group, run, condition, rule) with Wilson's interval.

    `effects`: paired differences by the rule that counts, in all countries together, with a
    bootstrap interval over questions, one over countries, McNemar's p, and Holm's over the table;
    intervals are null below `MIN_DOCUMENTS` questions, or countries. `switch`: eval/switch.py.

    Questions that ask the same (`QuestionSet.repeats`) are one in all of them. Wilson's interval is
    that of clusters (eval/bootstrap.py); McNemar's test asks which of the two has more of it right.

    for_choices: bool [questions]. off_distribution: run -> whether it never was told an origin.
    """
    if for_choices is None:
        for_choices = np.zeros(len(asked.questions), bool)
    rule, chosen_on = _rule(asked, _measured(answers), rules, for_choices)
    reported = np.flatnonzero(~for_choices)
    if for_choices.any():
        asked = _taken(asked, reported)
        answers = {key: _answers(found, reported) for key, found in answers.items()}
    right = np.array([question.answer for question in asked.questions])
    repeats = asked.repeats
    measured = _measured(answers)
    cells, differences = [], []
    for kind, group, name, places in _groups(asked):
        head = {"kind": kind, "group": group, "name": name, "questions": len(places)}
        same = repeats[places]
        for (run, condition), answer in measured.items():
            for each in rules:
                hit = getattr(answer, each)[places] == right[places]
                correct = int(hit.sum())
                low, high = clustered_wilson(hit, same, confidence)
                cells.append({
                    **head, "run": run, "condition": condition, "rule": each, "correct": correct,
                    "accuracy": correct / len(places), "low": low, "high": high,
                    "chance": chance([asked.questions[p] for p in places]),
                })  # fmt: skip
        if group != "all":
            continue
        keys = list(measured)
        hits = np.stack([getattr(measured[k], rule)[places] == right[places] for k in keys], axis=1)
        countries = np.array([asked.questions[p].country for p in places])
        together = cluster_sums(hits, same)
        once = len(together) == len(same)
        rates = _rates(hits, None if once else same, samples, generator(seed, f"questions/{kind}"))
        by_country = _rates(hits, countries, samples, generator(seed, f"questions/{kind}/country"))
        for effect in wanted:
            i, j = keys.index(effect.of), keys.index(effect.against)
            low, high = _interval(rates, i, j, confidence)
            country_low, country_high = _interval(by_country, i, j, confidence)
            difference = float(hits[:, i].mean() - hits[:, j].mean())
            more = together[:, i] - together[:, j]
            differences.append({
                **head, **asdict(effect), "difference": difference, "low": low, "high": high,
                "country_low": country_low, "country_high": country_high,
                "p": mcnemar(more > 0, more < 0),
            })  # fmt: skip
    for line, corrected in zip(differences, holm([d["p"] for d in differences]), strict=True):
        line["p_holm"] = corrected
    switched = switch.table(
        asked.questions, answers, off_distribution or {}, rule,
        samples=samples, confidence=confidence, seed=seed,
    )  # fmt: skip
    return {
        "rule": rule, "rules": list(rules), "chosen_on": chosen_on, "cells": cells,
        "effects": differences, "switch": switched,
    }  # fmt: skip


def _measured(answers: Mapping[Key, Answers]) -> dict[Key, Answers]:
    """Without those given in the name of another country, under which another option is right."""
    return {key: found for key, found in answers.items() if key[1] != CONTRAST}


def _rule(
    asked: QuestionSet, answers: Mapping[Key, Answers], rules: Sequence[str], mask: np.ndarray
) -> tuple[str, dict[str, Any] | None]:
    """The rule that counts, and how it did where it was chosen; the first of equals."""
    if not mask.any():
        return rules[0], None
    right = np.array([question.answer for question in asked.questions])[mask]
    rates = {
        rule: float(np.mean([(getattr(of, rule)[mask] == right).mean() for of in answers.values()]))
        for rule in rules
    }
    return max(rules, key=lambda rule: rates[rule]), {"questions": int(mask.sum()), "rates": rates}


def _rates(
    hits: np.ndarray, clusters: np.ndarray | None, samples: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Accuracies over resamples of questions, or of whole clusters; [samples, keys]."""
    values = np.concatenate([hits, np.ones((len(hits), 1))], axis=1).astype(np.float64)
    if clusters is not None:
        values = cluster_sums(values, clusters)
    if len(values) < MIN_DOCUMENTS:
        return None
    drawn = resampled_sums(values, samples, rng)
    return drawn[:, :-1] / drawn[:, -1:]


def _interval(
    rates: np.ndarray | None, of: int, against: int, confidence: float
) -> tuple[float | None, float | None]:
    if rates is None:
        return None, None
    low, high = percentile_interval(rates[:, of] - rates[:, against], confidence)
    return float(low), float(high)


def _taken(asked: QuestionSet, places: np.ndarray) -> QuestionSet:
    return QuestionSet(
        [asked.questions[p] for p in places], [asked.orders[p] for p in places], asked.skipped
    )


def _answers(found: Answers, places: np.ndarray) -> Answers:
    return replace(found, **{n: v[places] for n, v in vars(found).items() if v is not None})


def _groups(asked: QuestionSet) -> list[tuple[str, str, str, np.ndarray]]:
    """(kind, group, name, places) for every kind that is asked: all, continents, countries.

    Questions that name no place stand under `UNKNOWN`.
    """
    kinds = np.array([question.kind for question in asked.questions])
    found = []
    for kind in sorted(set(kinds.tolist()), key=lambda k: (_ORDER.get(k, len(_ORDER)), k)):
        mine = np.flatnonzero(kinds == kind)
        found.append((kind, "all", "all", mine))
        for group in ("continent", "country"):
            names = np.array([getattr(asked.questions[p], group) or UNKNOWN for p in mine])
            found += [(kind, group, str(name), mine[names == name]) for name in np.unique(names)]
    return found


_ORDER = {"local": 0, "explicit": 1, "ambiguous": 2, "shared": 3}
