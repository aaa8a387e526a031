"""The report in a sentence and a small table, from the intervals alone."""

from typing import Any

from eval.report.sentences import (
    Finding,
    Verdict,
    accuracy_verdict,
    interval,
    kind_name,
    loss_verdict,
    percent,
    perplexity,
    pick,
    place_name,
    ratio_of,
    signed,
    sure,
    told_fields,
)

PART = "body"


def sentence(evaluation: dict[str, Any]) -> str:
    """What the evaluation shows, in words. It rests on the first conditioned and plain run."""
    effect = main_effect(evaluation)
    if effect is None:
        return (
            "Only perplexities are reported: the runs and conditions that were evaluated allow no "
            "comparison of metadata with none."
        )
    told = told_fields(evaluation["runs"][effect["of"][0]]["policy"])
    of, against = _cell(evaluation, effect["of"]), _cell(evaluation, effect["against"])
    same = effect["of"][0] == effect["against"][0]
    who = "the same model told nothing" if same else "the model trained without metadata"
    figures = (
        f"perplexity {perplexity(of['perplexity'])} against {perplexity(against['perplexity'])}"
    )
    if effect["low"] is None:
        return (
            f"Nothing can be said yet: {effect['documents']} test documents are too few for an "
            f"interval ({figures} for {who})."
        )
    change = (
        f"{figures}, a change of {percent(effect['ratio'])} ({sure(evaluation)} interval "
        f"{interval(effect['ratio_low'], effect['ratio_high'], percent)})"
    )
    verdict, truth = loss_verdict(effect), _truth(evaluation, effect)
    if verdict.tone == "flat":
        opening, than = "No clear effect", f"about as well as {who}"
    elif verdict.tone == "bad":
        opening, than = "Metadata hurts", f"worse than {who}"
    elif truth is None or truth.tone == "good":
        opening, than = "Metadata helps", f"better than {who}"
    else:
        opening, than = "A gain, but not from knowing the origin", f"better than {who}"
    text = f"{opening}: told a document's {told}, the model predicts its body {than}: {change}."
    return text if truth is None else f"{text} {truth.text}"


def lead(evaluation: dict[str, Any]) -> list[str]:
    """The whole result in sentences, failures too: what is told, what it costs, what it answers."""
    said = [sentence(evaluation)]
    effects = evaluation["perplexity"]["effects"]
    main = main_effect(evaluation)
    cost = cost_effect(evaluation)
    if cost is not None and cost["low"] is not None:
        ends = interval(cost["ratio_low"], cost["ratio_high"], percent)
        change = f"({percent(cost['ratio'])}, {ends})"
        where = ", on bare text," if _no_labels(evaluation) else ""
        said.append({
            "bad": f"But told nothing{where} it is worse than the model trained without "
                   f"{change}: metadata have a price here.",
            "good": f"Told nothing{where} it is better than the model trained without, too "
                    f"{change}.",
            "flat": f"Told nothing{where} it is as good as the model trained without {change}.",
        }[loss_verdict(cost).tone])  # fmt: skip
    said += _worst(evaluation, main)
    if not _no_labels(evaluation):
        said += _bare(evaluation)
    own = _effect(effects, evaluation, "told against not told")
    if own is not None and own["low"] is not None and own is not main:
        verdict = loss_verdict(own)
        if verdict.tone != "good":
            does = "makes it worse" if verdict.tone == "bad" else "makes no clear difference"
            said.append(f"Telling that same model the origin {does} ({percent(own['ratio'])}).")
    said += _floor(evaluation) + _answers(evaluation)
    return said


def _worst(evaluation: dict[str, Any], main: dict[str, Any] | None) -> list[str]:
    """What the mean over documents hides: the country that has least of the main effect."""
    same = ("part", "purpose", "of", "against")
    lines = evaluation.get("countries", []) if main is not None else []
    line = pick(lines, **{key: main[key] for key in same}) if main is not None else None
    if line is None:
        return []
    is_ = "clearly worse" if line["worst_low"] > 0 else "not clearly worse"
    return [
        f"Of {line['countries']} countries with enough documents {line['better']} gain clearly and "
        f"{line['worse']} lose clearly; least served is {place_name('country', line['worst'])} "
        f"({percent(ratio_of(line['worst_nats']))}, {is_}), the mean over countries is "
        f"{percent(ratio_of(line['mean']))}."
    ]


def _no_labels(evaluation: dict[str, Any]) -> bool:
    """Whether the bare text is the model's own text without metadata, to the last token."""
    own = _effect(evaluation["perplexity"]["effects"], evaluation, "bare text against not told")
    return own is None and "plain" in evaluation["conditions"]


def _bare(evaluation: dict[str, Any]) -> list[str]:
    """What whoever gives the conditioned model bare text meets, where that was a condition."""
    effects, said = evaluation["perplexity"]["effects"], []
    beside = _effect(effects, evaluation, "conditioned model against plain model, bare text")
    if beside is not None and beside["low"] is not None:
        ends = interval(beside["ratio_low"], beside["ratio_high"], percent)
        is_ = {"bad": "worse than", "good": "better than", "flat": "as good as"}
        said.append(
            f"On bare text it is {is_[loss_verdict(beside).tone]} the model trained without "
            f"({percent(beside['ratio'])}, {ends})."
        )
    own = _effect(effects, evaluation, "bare text against not told")
    conditioned = own is not None and evaluation["runs"][own["of"][0]]["conditioned"]
    if conditioned and own["low"] is not None and loss_verdict(own).tone == "bad":
        said.append(
            f"Bare text costs it {percent(own['ratio'])} against the same words behind its labels: "
            "its last stage did not read bare text, or too little of it."
        )
    return said


def _told(evaluation: dict[str, Any]) -> list[str]:
    """Runs that were trained with metadata of the documents' own."""
    runs = evaluation["runs"].items()
    return [name for name, run in runs if run["conditioned"] and not run.get("placebo")]


def _floor(evaluation: dict[str, Any]) -> list[str]:
    """What an ideal model would gain from being told, beside what the conditioned one does."""
    floor = evaluation.get("floor") or {}
    lines = floor.get("lines", [])
    totals = {(line["run"], line["condition"]): line["title"] + line["body"] for line in lines}
    run = next(iter(_told(evaluation)), None)
    wanted = [(None, "without"), (None, "with"), (run, "without"), (run, "with")]
    if run is None or any(key not in totals for key in wanted):
        return []
    ideal, gained = totals[wanted[0]] - totals[wanted[1]], totals[wanted[2]] - totals[wanted[3]]
    return [
        f"The corpus is synthetic: an ideal model gains {ideal:.2f} nats a document from being "
        f"told the origin, this one {signed(gained, 2)}."
    ]


def _answers(evaluation: dict[str, Any]) -> list[str]:
    asked = evaluation["questions"]
    if asked is None:
        return []
    said = []
    for kind in dict.fromkeys(line["kind"] for line in asked["effects"]):
        effect = pick(asked["effects"], kind=kind, purpose="told against not told")
        if effect is None or effect["low"] is None or kind == "shared":
            continue
        points = f"{_points(effect['difference'])} points"
        what = kind_name(kind)
        said.append({
            "good": f"{what}: told the country it answers more of them right ({points}).",
            "bad": f"{what}: told the country it answers fewer of them right ({points}).",
            "flat": f"{what}: telling the country makes no clear difference ({points}).",
        }[accuracy_verdict(effect).tone])  # fmt: skip
    for line in asked.get("switch", []):
        if not line["off_distribution"]:
            said.append(
                f"Run {line['run']} follows the country that it is told in both answers of "
                f"{line['exact']:.0%} of {line['questions']:,} questions."
            )
    return said


def _truth(evaluation: dict[str, Any], effect: dict[str, Any]) -> Verdict | None:
    """Whether the model does better with the truth than with another document's origin."""
    lines = evaluation["perplexity"]["effects"]
    found = pick(lines, group="all", part=effect["part"], of=effect["of"],
                 purpose="told against shuffled")  # fmt: skip
    if found is None or found["low"] is None:
        return None
    change = percent(found["ratio"])
    tone = loss_verdict(found).tone
    if tone == "good":
        text = f"The truth matters: it does better than with another document's origin ({change})."
    elif tone == "bad":
        text = f"It does worse with the truth than with another document's origin ({change})."
    else:
        text = "Another document's origin serves it just as well."
    return Verdict(text, tone)


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
        ("conditioned model, not told, against plain model",
         "Told nothing, is it as good as the model trained without metadata?",
         ("yes, better", "no, worse", "yes, no clear difference")),
    ):  # fmt: skip
        effect = _effect(effects, evaluation, purpose)
        if effect is not None:
            found.append(_perplexity_finding(evaluation, effect, question, words))
    return found + _question_findings(evaluation)


def main_effect(evaluation: dict[str, Any]) -> dict[str, Any] | None:
    """The comparison that the sentence is about."""
    effects = evaluation["perplexity"]["effects"]
    for purpose in ("conditioned model, told, against plain model", "told against not told"):
        effect = _effect(effects, evaluation, purpose)
        if effect is not None:
            return effect
    return None


def cost_effect(evaluation: dict[str, Any]) -> dict[str, Any] | None:
    """What training with metadata costs, or brings, where nothing is told."""
    effects = evaluation["perplexity"]["effects"]
    return _effect(effects, evaluation, "conditioned model, not told, against plain model")


def _effect(
    effects: list[dict[str, Any]], evaluation: dict[str, Any], purpose: str
) -> dict[str, Any] | None:
    """Over all documents, of the first conditioned run where there is one, at its latest step."""
    about = evaluation["runs"]
    conditioned = _latest_first(_told(evaluation), about)
    lines = [e for e in effects if e["group"] == "all" and e["purpose"] == purpose]
    lines.sort(key=lambda e: -(about[e["against"][0]].get("step") or 0))
    for part in (PART, "text"):
        for run in [*conditioned, None]:
            for line in lines:
                if line["part"] == part and run in (line["of"][0], None):
                    return line
    return None


def _latest_first(names: list[str], about: dict[str, Any]) -> list[str]:
    """Runs in their order; checkpoints of one run, which share its folder, from the last back."""
    folders = list(dict.fromkeys(about[name].get("folder") for name in names))
    return sorted(
        names,
        key=lambda name: (
            folders.index(about[name].get("folder")),
            -(about[name].get("step") or 0),
        ),
    )


def _cell(evaluation: dict[str, Any], key: list[str]) -> dict[str, Any]:
    cells = evaluation["perplexity"]["cells"]
    wanted = {"group": "all", "run": key[0], "condition": key[1]}
    return pick(cells, part=PART, **wanted) or pick(cells, part="text", **wanted)


def _perplexity_finding(
    evaluation: dict[str, Any], effect: dict[str, Any], question: str, words: tuple[str, str, str]
) -> Finding:
    verdict = loss_verdict(effect)
    # That a wrong origin helps is no good news, and that it hurts is none either way.
    tones = {"good": "bad", "bad": "flat"} if effect["of"][1] == "shuffled" else {}
    text = {"good": words[0], "bad": words[1], "flat": words[2]}[verdict.tone]
    if effect["low"] is None:
        text = verdict.text
    of, against = _cell(evaluation, effect["of"]), _cell(evaluation, effect["against"])
    return Finding(
        question,
        Verdict(text, tones.get(verdict.tone, verdict.tone)),
        f"{perplexity(of['perplexity'])} against {perplexity(against['perplexity'])}",
        f"{percent(effect['ratio'])}, "
        f"{interval(effect['ratio_low'], effect['ratio_high'], percent)}",
    )


def _question_findings(evaluation: dict[str, Any]) -> list[Finding]:
    questions = evaluation["questions"]
    if questions is None:
        return []
    found = []
    rule = questions.get("rule", "by_sum")
    for kind, purpose, text in (
        ("local", "conditioned model, told, against plain model",
         "Does it answer more questions about a country than the model trained without?"),
        ("local", "told against not told", "Does telling the country help that same model answer?"),
        ("shared", "told against not told",
         "And on questions whose answer is the same in every country?"),
    ):  # fmt: skip
        lines = [e for e in questions["effects"] if e["kind"] == kind]
        conditioned = _told(evaluation)
        effect = next(
            (e for e in lines if e["purpose"] == purpose and e["of"][0] in conditioned), None
        )
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
        found.append(Finding(
            text, Verdict(words, verdict.tone),
            f"{rates[0]['accuracy']:.0%} against {rates[1]['accuracy']:.0%} right",
            f"{_points(effect['difference'])} points, "
            f"{interval(effect['low'], effect['high'], _points)}; chance "
            f"{rates[0]['chance']:.0%}",
        ))  # fmt: skip
    return found


def _points(difference: float) -> str:
    return signed(100 * difference, 1)
