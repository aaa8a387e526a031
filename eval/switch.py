"""Locale switch: does a model's answer follow the country that it is told?

Of questions with an answer of their country and one of another country among the options. Each is
asked twice, under the one country (condition `with`) and under the other (condition `contrast`).

    exact pair    both times the answer of the country that it is told
    margin        log p of the own answer less that of the other country's; it switches where it is
                  larger under the own country than under the other

A model that reads no metadata answers both times alike: it cannot have an exact pair, and its
margin cannot move. So it is no baseline; one that was told origins at random would be.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.bootstrap import MIN_DOCUMENTS, clustered_wilson, percentile_interval, resampled_sums
from eval.conditions import generator
from eval.matrix import Key
from eval.question_schemas import Question
from eval.questions import Answers
from eval.significance import cluster_sums, resampled_p

OWN, OTHER = "with", "contrast"


def table(
    questions: Sequence[Question],
    answers: Mapping[Key, Answers],
    off_distribution: Mapping[str, bool],
    rule: str,
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, Any]]:
    """A line a run that was asked in both: rates with Wilson's interval, mean shift of margin.

    off_distribution: run -> whether it was never trained on being told an origin. Pairs of
    countries share facts: they are the clusters of Wilson's interval (eval/bootstrap.py), and the
    shift's interval resamples them; null for fewer than `MIN_DOCUMENTS`.
    """
    pairs = [n for n, question in enumerate(questions) if question.contrast_record is not None]
    lines = []
    for run in dict.fromkeys(run for run, _ in answers):
        if not pairs or (run, OWN) not in answers or (run, OTHER) not in answers:
            continue
        right = np.array([questions[n].answer for n in pairs])
        contrast = np.array([questions[n].contrast for n in pairs])
        own, other = (getattr(answers[run, condition], rule)[pairs] for condition in (OWN, OTHER))
        exact = (own == right) & (other == contrast)
        margin = [
            answers[run, condition].log_p[pairs, right]
            - answers[run, condition].log_p[pairs, contrast]
            for condition in (OWN, OTHER)
        ]
        shift = margin[0] - margin[1]
        both = [(questions[n].country, questions[n].contrast_country) for n in pairs]
        # Whichever of the two is the own one: the same facts are asked from both sides.
        places = [" ".join(sorted(pair)) for pair in both]
        line: dict[str, Any] = {
            "run": run, "questions": len(pairs), "country_pairs": len(set(places)),
            "off_distribution": off_distribution[run], "shift": float(shift.mean()),
            "shift_low": None, "shift_high": None, "p": None,
        }  # fmt: skip
        for name, hits in (("exact", exact), ("margin", shift > 0)):
            low, high = clustered_wilson(hits, np.array(places), confidence)
            line |= {name: float(hits.mean()), f"{name}_low": low, f"{name}_high": high}
        if len(set(places)) >= MIN_DOCUMENTS:
            rng = generator(seed, f"switch/{run}")
            sums = cluster_sums(np.stack([shift, np.ones(len(shift))], 1), np.array(places))
            drawn = resampled_sums(sums, samples, rng)
            means = drawn[:, 0] / drawn[:, 1]
            low, high = percentile_interval(means, confidence)
            line |= {"shift_low": float(low), "shift_high": float(high), "p": resampled_p(means)}
        lines.append(line)
    return lines
