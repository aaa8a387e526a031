"""The report in sentences, from the intervals alone."""

from typing import Any

from eval.report.main_effects import (
    cell_of,
    cost_effect,
    effect_of,
    has_no_labels,
    main_effect,
    of_latest,
    points,
    told_runs,
)
from eval.report.sentences import (
    SLIGHT,
    Verdict,
    accuracy_verdict,
    beside,
    interval,
    is_dear,
    is_slight,
    is_worse,
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
from eval.report.threats import ceilings
from geo_nemo.common.counts import plural


def sentence(evaluation: dict[str, Any]) -> str:
    """What the evaluation shows, in words. It rests on the first conditioned and plain run."""
    effect = main_effect(evaluation)
    if effect is None:
        return (
            "Only perplexities are reported: the runs and conditions that were evaluated allow no "
            "comparison of metadata with none."
        )
    told = told_fields(evaluation["runs"][effect["of"][0]]["policy"])
    of, against = cell_of(evaluation, effect["of"]), cell_of(evaluation, effect["against"])
    same = effect["of"][0] == effect["against"][0]
    who = "the same model told nothing" if same else "the model trained without metadata"
    figures = (
        f"perplexity {perplexity(of['perplexity'])} against {perplexity(against['perplexity'])}"
    )
    if effect["low"] is None:
        few = plural(effect["documents"], "test document is", "test documents are")
        return f"Nothing can be said yet: {few} too few for an interval ({figures} for {who})."
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
        cost = cost_effect(evaluation)
        priced = cost is not None and is_worse(cost)
        opening = "Metadata helps where it is told" if priced else "Metadata helps"
        than = f"better than {who}"
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
        where = ", on bare text," if has_no_labels(evaluation) else ""
        without = f"the model trained without ({percent(cost['ratio'])}, {ends})"
        said.append(_told_nothing(cost, main, where, without))
    said += _worst(evaluation, main)
    if not has_no_labels(evaluation):
        said += _bare(evaluation)
    own = effect_of(effects, evaluation, "told against not told")
    if own is not None and own["low"] is not None and own is not main:
        verdict = loss_verdict(own)
        if verdict.tone != "good":
            does = "makes it worse" if verdict.tone == "bad" else "makes no clear difference"
            said.append(f"Telling that same model the origin {does} ({percent(own['ratio'])}).")
    said += _others(evaluation) + _floor(evaluation) + _answers(evaluation)
    return said


def _told_nothing(
    cost: dict[str, Any], main: dict[str, Any] | None, where: str, without: str
) -> str:
    """What training with metadata costs who is told nothing, beside what telling it is worth."""
    tone = loss_verdict(cost).tone
    told = loss_verdict(main).tone if main is not None else "flat"
    says = f"told nothing{where} it is {beside(cost, without)}"
    if tone == told and (tone == "good" or is_worse(cost)):
        says += ", too"
    if is_dear(cost):
        says += ": metadata have a price here"
    elif not is_slight(cost):
        says += f"; these documents do not decide whether it is at most {SLIGHT:.1%} behind"
    return f"But {says}." if is_worse(cost) and told == "good" else f"{says[0].upper()}{says[1:]}."


def _worst(evaluation: dict[str, Any], main: dict[str, Any] | None) -> list[str]:
    """What the mean over documents hides: the country that has least of the main effect."""
    same = ("part", "purpose", "of", "against")
    lines = evaluation.get("countries", []) if main is not None else []
    line = pick(lines, **{key: main[key] for key in same}) if main is not None else None
    if line is None:
        return []
    change = percent(ratio_of(line["worst_nats"]))
    place = place_name("country", line["worst"])
    if line["better"] == line["countries"]:
        said = (
            f"All {line['countries']} countries with enough documents gain clearly, {place} least"
        )
    else:
        is_ = "clearly worse" if line["worst_low"] > 0 else "not clearly worse"
        said = (
            f"Of {line['countries']} countries with enough documents "
            f"{plural(line['better'], 'gains', 'gain')} clearly "
            f"and {plural(line['worse'], 'loses', 'lose')} clearly; least served is {place}"
        )
        change = f"{change}, {is_}"
    mean = percent(ratio_of(line["mean"]))
    return [f"{said} ({change}); the mean over countries is {mean}."]


def _bare(evaluation: dict[str, Any]) -> list[str]:
    """What whoever gives the conditioned model bare text meets, where that was a condition."""
    effects, said = evaluation["perplexity"]["effects"], []
    plain = effect_of(effects, evaluation, "conditioned model against plain model, bare text")
    if plain is not None and plain["low"] is not None:
        ends = interval(plain["ratio_low"], plain["ratio_high"], percent)
        said.append(
            f"On bare text it is {beside(plain, 'the model trained without')} "
            f"({percent(plain['ratio'])}, {ends})."
        )
    own = effect_of(effects, evaluation, "bare text against not told")
    conditioned = own is not None and evaluation["runs"][own["of"][0]]["conditioned"]
    if conditioned and own["low"] is not None and loss_verdict(own).tone == "bad":
        said.append(
            f"Bare text costs it {percent(own['ratio'])} against the same words behind its labels: "
            "its last stage did not read bare text, or too little of it."
        )
    return said


def _floor(evaluation: dict[str, Any]) -> list[str]:
    """What an ideal model would gain from being told, beside what the conditioned one does."""
    floor = evaluation.get("floor") or {}
    lines = floor.get("lines", [])
    totals = {(line["run"], line["condition"]): line["title"] + line["body"] for line in lines}
    run = next(iter(told_runs(evaluation)), None)
    wanted = [(None, "without"), (None, "with"), (run, "without"), (run, "with")]
    if run is None or any(key not in totals for key in wanted):
        return []
    ideal, gained = totals[wanted[0]] - totals[wanted[1]], totals[wanted[2]] - totals[wanted[3]]
    more = ", for told nothing it is further from the ideal" if gained > ideal else ""
    return [
        f"The corpus is synthetic: an ideal model gains {ideal:.2f} nats a document from being "
        f"told the origin, this one {signed(gained, 2)}{more}."
    ]


def _others(evaluation: dict[str, Any]) -> list[str]:
    """Models of somebody else's beside the others at their last step, all on bare text."""
    said, about = [], evaluation["runs"]

    def is_last(run: str) -> bool:
        place, step = about[run].get("folder"), about[run].get("step") or 0
        return all(r.get("folder") != place or (r.get("step") or 0) <= step for r in about.values())

    for line in evaluation["perplexity"]["effects"]:
        if (line["group"], line["part"]) != ("all", "text") or line["low"] is None:
            continue
        if line["purpose"] != "another model, bare text":
            continue
        (of, _), (against, _) = line["of"], line["against"]
        if not is_last(against):
            continue
        bits = [
            pick(evaluation["perplexity"]["cells"], group="all", part="text", run=run,
                 condition="plain")["bits_per_byte"]
            for run in (of, against)
        ]  # fmt: skip
        said.append(
            f"On bare text run {of} is {beside(line, f'run {against}')}: "
            f"{bits[0]:.3f} bits a byte against {bits[1]:.3f}."
        )
    return said


def _answers(evaluation: dict[str, Any]) -> list[str]:
    asked = evaluation["questions"]
    if asked is None:
        return []
    said, full = [], ceilings(evaluation)
    for kind in dict.fromkeys(line["kind"] for line in asked["effects"]):
        if kind in full:
            said.append(f"{kind_name(kind)}: every model answers nearly all of them, told or not.")
            continue
        same = (kind, "told against not told")
        lines = [e for e in asked["effects"] if (e["kind"], e["purpose"]) == same]
        effect = of_latest(lines, evaluation)
        if effect is None or effect["low"] is None or kind == "shared":
            continue
        change = f"{points(effect['difference'])} points"
        what = kind_name(kind)
        said.append({
            "good": f"{what}: told the country it answers more of them right ({change}).",
            "bad": f"{what}: told the country it answers fewer of them right ({change}).",
            "flat": f"{what}: telling the country makes no clear difference ({change}).",
        }[accuracy_verdict(effect).tone])  # fmt: skip
    for line in asked.get("switch", []):
        if not line["off_distribution"]:
            said.append(
                f"Run {line['run']} follows the country that it is told in both answers of "
                f"{line['exact']:.0%} of {plural(line['questions'], 'question')}."
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
