"""The questions that the issue of metadata turns on, each with its answer."""

from typing import Any

from eval.report.main_effects import COST, cell_of, effect_of, of_latest, points, told_runs
from eval.report.sentences import (
    FEW_QUESTIONS,
    SLIGHT,
    Finding,
    Verdict,
    accuracy_verdict,
    interval,
    is_dear,
    is_slight,
    loss_verdict,
    percent,
    perplexity,
    pick,
)
from eval.report.threats import ceilings

TOO_EASY = "too easy to tell"


def findings(evaluation: dict[str, Any]) -> list[Finding]:
    """The questions that the issue of metadata turns on, each with its answer."""
    effects = evaluation["perplexity"]["effects"]
    found = []
    for purpose, question, words in (
        ("conditioned model, told, against plain model",
         "Does a model that is told the origin predict better than one trained without metadata?",
         ("yes", "no, worse", "no clear difference")),
        ("told against not told", "Does telling the origin help that same model?",
         ("yes", "no, it hurts", "no clear difference")),
        ("shuffled against not told", "Does telling it another document's origin help?",
         ("yes, any metadata helps", "no, it hurts", "no clear difference")),
        ("told against shuffled", "Does the truth help more than another document's origin?",
         ("yes", "no, it hurts", "no clear difference")),
        (COST,
         "Told nothing, is it as good as the model trained without metadata?",
         ("yes, better", "no, worse", "yes, no clear difference")),
    ):  # fmt: skip
        effect = effect_of(effects, evaluation, purpose)
        if effect is not None:
            found.append(_perplexity_finding(evaluation, effect, question, words))
    return found + _question_findings(evaluation)


def _perplexity_finding(
    evaluation: dict[str, Any], effect: dict[str, Any], question: str, words: tuple[str, str, str]
) -> Finding:
    verdict = loss_verdict(effect)
    # That a wrong origin helps is no good news, and that it hurts is none either way.
    tones = {"good": "bad", "bad": "flat"} if effect["of"][1] == "shuffled" else {}
    text = {"good": words[0], "bad": words[1], "flat": words[2]}[verdict.tone]
    tone = tones.get(verdict.tone, verdict.tone)
    if effect["low"] is None:
        text = verdict.text
    elif effect["purpose"] == COST and verdict.tone == "bad" and is_slight(effect):
        text, tone = f"yes, at most {SLIGHT:.1%} behind", "flat"
    elif effect["purpose"] == COST and not (is_slight(effect) or is_dear(effect)):
        text, tone = f"not decided: perhaps more than {SLIGHT:.1%} behind", "flat"
    of, against = cell_of(evaluation, effect["of"]), cell_of(evaluation, effect["against"])
    return Finding(
        question,
        Verdict(text, tone),
        f"{perplexity(of['perplexity'])} against {perplexity(against['perplexity'])}",
        f"{percent(effect['ratio'])}, "
        f"{interval(effect['ratio_low'], effect['ratio_high'], percent)}",
    )


def _question_findings(evaluation: dict[str, Any]) -> list[Finding]:
    questions = evaluation["questions"]
    if questions is None:
        return []
    found = []
    rule, full = questions.get("rule", "by_sum"), ceilings(evaluation)
    for kind, purpose, text in (
        ("local", "conditioned model, told, against plain model",
         "Does it answer more questions about a country than the model trained without?"),
        ("local", "told against not told", "Does telling the country help that same model answer?"),
        ("shared", "told against not told",
         "And on questions whose answer is the same in every country?"),
    ):  # fmt: skip
        told = told_runs(evaluation)
        lines = [e for e in questions["effects"] if (e["kind"], e["purpose"]) == (kind, purpose)]
        effect = of_latest([e for e in lines if e["of"][0] in told], evaluation)
        if effect is None:
            continue
        verdict = accuracy_verdict(effect)
        words = {"good": "yes", "bad": "no, fewer right", "flat": verdict.text}[verdict.tone]
        rates = [
            pick(
                questions["cells"],
                kind=kind,
                group="all",
                rule=rule,
                run=run,
                condition=condition,
            )
            for run, condition in (effect["of"], effect["against"])
        ]
        right = f"{rates[0]['accuracy']:.0%} against {rates[1]['accuracy']:.0%} right"
        if kind in full:
            found.append(Finding(text, Verdict(TOO_EASY, "flat"), right, "in every condition"))
            continue
        found.append(Finding(
            text, Verdict(words, verdict.tone), right,
            f"{points(effect['difference'])} points, "
            f"{interval(effect['low'], effect['high'], points, FEW_QUESTIONS)}; chance "
            f"{rates[0]['chance']:.0%}",
        ))  # fmt: skip
    return found
