"""Sentences and figures as text."""

import copy
from math import exp

import pytest

from eval.report import tables
from eval.report.findings import findings
from eval.report.lead import lead, sentence
from eval.report.main_effects import COST, main_effect
from eval.report.sentences import interval, percent, perplexity, signed, told_fields

POLICY = {"fields": ["url", "country", "continent"], "url_form": "host"}


def evaluation(nats=-0.1, low=-0.12, high=-0.08, runs=("plus", "minus")):
    """As small as the headline needs: one comparison over all documents."""
    of, against = [runs[0], "with"], [runs[-1], "without"]
    effect = {
        "group": "all", "name": "all", "part": "body", "documents": 500, "tokens": 9000,
        "purpose": "conditioned model, told, against plain model" if len(runs) == 2
        else "told against not told",
        "of": of, "against": against, "nats": nats, "low": low, "high": high, "ratio": exp(nats),
        "ratio_low": None if low is None else exp(low),
        "ratio_high": None if high is None else exp(high),
    }  # fmt: skip
    cells = [
        {
            "group": "all",
            "name": "all",
            "part": "body",
            "run": run,
            "condition": condition,
            "perplexity": p,
        }
        for (run, condition), p in ((of, 9.0), (against, 9.946))
    ]
    return {
        "config": {"confidence": 0.95},
        "runs": {run: {"conditioned": run == "plus", "policy": POLICY} for run in runs},
        "perplexity": {"cells": cells, "effects": [effect]},
        "questions": None,
    }


def test_a_gain_is_told_with_figures_and_interval():
    assert sentence(evaluation()) == (
        "Metadata helps: told a document's host, country and continent, the model predicts its "
        "body better than the model trained without metadata: perplexity 9.000 against 9.946, a "
        "change of \u22129.5% (95% interval \u221211.3% to \u22127.7%)."
    )


def test_a_loss_is_told_as_plainly():
    assert sentence(evaluation(0.1, 0.08, 0.12)).startswith("Metadata hurts: ")


def test_an_interval_around_zero_is_no_effect():
    text = sentence(evaluation(-0.01, -0.03, 0.01))
    assert text.startswith("No clear effect: ") and "about as well as" in text
    assert findings(evaluation(-0.01, -0.03, 0.01))[0].answer.text == "no clear difference"


def test_too_few_documents_say_nothing():
    text = sentence(evaluation(-0.5, None, None))
    assert text.startswith("Nothing can be said yet: 500 test documents are too few")
    assert findings(evaluation(-0.5, None, None))[0].answer.text == "too few documents"


def with_shuffled(found, nats, low, high):
    """The same, with a comparison of the truth with another document's origin."""
    main = found["perplexity"]["effects"][0]
    truth = main | {"purpose": "told against shuffled", "against": [main["of"][0], "shuffled"],
                    "nats": nats, "low": low, "high": high,
                    "ratio": exp(nats)}  # fmt: skip
    found["perplexity"]["effects"].append(truth)
    return found


def test_a_gain_that_another_origin_gives_as_well_is_not_credited_to_the_truth():
    text = sentence(with_shuffled(evaluation(), -0.01, -0.03, 0.01))
    assert text.startswith("A gain, but not from knowing the origin: ")
    assert text.endswith("Another document's origin serves it just as well.")


def test_a_gain_over_another_origin_is_said():
    text = sentence(with_shuffled(evaluation(), -0.05, -0.06, -0.04))
    assert text.startswith("Metadata helps: ")
    # exp(-0.05) - 1
    assert text.endswith("it does better than with another document's origin (\u22124.9%).")


def test_without_a_plain_run_the_same_model_is_its_own_baseline():
    text = sentence(evaluation(runs=("plus",)))
    assert "better than the same model told nothing" in text


def test_without_a_comparison_the_sentence_says_so():
    bare = evaluation()
    bare["perplexity"]["effects"] = []
    assert main_effect(bare) is None
    assert sentence(bare).startswith("Only perplexities are reported")
    assert findings(bare) == []


HELPS, HURTS, NEITHER = (-0.1, -0.12, -0.08), (0.1, 0.08, 0.12), (-0.01, -0.03, 0.01)
OTHER = "the model trained without"
UNDECIDED = "; these documents do not decide whether it is at most 0.3% behind."


@pytest.mark.parametrize(
    ("told", "ends", "opens", "says", "closes", "answers"),
    [
        (HELPS, (0.001, 0.0025), "Metadata helps:",
         f"Told nothing it is at most 0.3% behind {OTHER}", "0.25%).", "yes, at most 0.3%"),
        (HELPS, (0.001, 0.0035), "Metadata helps where it is told:",
         f"But told nothing it is worse than {OTHER}", f"0.35%){UNDECIDED}", "not decided"),
        (HELPS, (0.0032, 0.004), "Metadata helps where it is told:",
         f"But told nothing it is worse than {OTHER}", "0.40%): metadata have a price here.",
         "no, worse"),
        (HELPS, (-0.001, 0.0025), "Metadata helps:", f"Told nothing it is as good as {OTHER}",
         "0.25%).", "yes, no clear"),
        # An interval with zero in it that reaches further than 0.3% says neither.
        (HELPS, (-0.05, 0.04), "Metadata helps:",
         f"Told nothing it is not clearly better or worse than {OTHER}", UNDECIDED, "not decided"),
        (HELPS, (-0.003, -0.001), "Metadata helps:", f"Told nothing it is better than {OTHER}",
         ", too.", "yes, better"),
        (HURTS, (0.001, 0.0025), "Metadata hurts:",
         f"Told nothing it is at most 0.3% behind {OTHER}", "0.25%).", "yes, at most 0.3%"),
        (HURTS, (0.02, 0.04), "Metadata hurts:", f"Told nothing it is worse than {OTHER}",
         ", too: metadata have a price here.", "no, worse"),
        (HURTS, (-0.003, -0.001), "Metadata hurts:", f"Told nothing it is better than {OTHER}",
         "0.10%).", "yes, better"),
        (NEITHER, (0.02, 0.04), "No clear effect:", f"Told nothing it is worse than {OTHER}",
         "): metadata have a price here.", "no, worse"),
        (NEITHER, (-0.003, -0.001), "No clear effect:", f"Told nothing it is better than {OTHER}",
         "0.10%).", "yes, better"),
        (NEITHER, (-0.05, 0.04), "No clear effect:",
         f"Told nothing it is not clearly better or worse than {OTHER}", UNDECIDED, "not decided"),
    ],
)  # fmt: skip
def test_what_told_nothing_costs_is_weighed_by_what_it_may(
    told, ends, opens, says, closes, answers
):
    found = evaluation(*told) | {"conditions": ["with", "without"]}
    low, high = ends
    main = found["perplexity"]["effects"][0]
    cost = {"purpose": COST, "of": ["plus", "without"], "nats": (low + high) / 2, "low": low,
            "high": high, "ratio": exp((low + high) / 2), "ratio_low": exp(low),
            "ratio_high": exp(high)}  # fmt: skip
    found["perplexity"]["effects"].append(main | cost)
    untold = found["perplexity"]["cells"][0] | {"condition": "without"}
    found["perplexity"]["cells"].append(untold)
    first, second = lead(found)[:2]
    assert first.startswith(opens)
    assert second.startswith(f"{says} (") and second.endswith(closes)
    assert (", too" in second) == (", too" in closes)
    line = next(x for x in findings(found) if "as good as the model" in x.question)
    assert line.answer.text.startswith(answers)
    assert (line.answer.tone == "bad") == (answers == "no, worse")


def test_a_shuffle_that_helps_is_no_good_news():
    found = evaluation(runs=("plus",))
    shuffled = copy.deepcopy(found["perplexity"]["effects"][0])
    shuffled |= {"purpose": "shuffled against not told", "of": ["plus", "shuffled"]}
    found["perplexity"]["effects"].append(shuffled)
    found["perplexity"]["cells"].append(
        found["perplexity"]["cells"][0] | {"condition": "shuffled", "perplexity": 9.1}
    )
    line = next(x for x in findings(found) if "another document" in x.question)
    assert (line.answer.text, line.answer.tone) == ("yes, any metadata helps", "bad")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "over 1e300"), (1.98765, "1.988"), (12.345, "12.35"), (123456.0, "123,456")],
)
def test_perplexities_keep_four_figures(value, text):
    assert perplexity(value) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.9, "\u221210.0%"), (1.004, "+0.40%"), (1.0, "0.00%"), (11.0, "x 11"), (0.25, "x 0.25")],
)
def test_ratios_are_percentages_until_they_are_large(ratio, text):
    assert percent(ratio) == text


def test_what_rounds_to_zero_has_no_sign():
    assert signed(-0.00001, 3) == "0.000"
    assert signed(-1.5, 1) == "\u22121.5"
    assert signed(1.5, 1) == "+1.5"


def test_no_interval_is_said_in_words():
    assert interval(None, None, str) == "too few documents"


def test_fields_are_named_as_they_were_shown():
    assert told_fields(POLICY) == "host, country and continent"
    assert told_fields({"fields": ["country"], "url_form": "host"}) == "country"
    assert told_fields({"fields": ["url", "country"], "url_form": "full"}) == "full URL and country"


def test_a_figure_of_questions_or_countries_without_an_interval_lacks_these():
    """A table of questions does not speak of documents."""
    line = {"kind": "local", "of": ["plus", "with"], "against": ["plus", "without"],
            "purpose": "told against not told", "difference": 0.1, "low": None, "high": None,
            "p_holm": 1.0}  # fmt: skip
    rates = {f"{name}{end}": 0.5 for name in ("exact", "margin") for end in ("", "_low", "_high")}
    switched = {"run": "plus", "questions": 9, "off_distribution": False, **rates,
                "shift": 0.1, "shift_low": None, "shift_high": None}  # fmt: skip
    cells = [
        {"kind": "local", "group": "all", "rule": "by_sum", "run": "plus", "condition": condition,
         "accuracy": 0.5, "low": 0.2, "high": 0.8, "chance": 0.5}
        for condition in ("with", "without")
    ]  # fmt: skip
    found = evaluation() | {
        "questions": {"effects": [line], "switch": [switched], "cells": cells, "rule": "by_sum"}
    }
    (row,) = tables.question_effects(found, "local").rows
    assert row[2].small == row[1].text == "too few different questions"
    assert tables.switch(found).rows[0][3].small == "too few pairs of countries"
    assert "too few different questions" in findings(found)[-1].detail
