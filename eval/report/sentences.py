"""Figures as text, and what they show in plain sentences, also when they show nothing."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eval.conditions import country_told, guidance, kind_of
from geo_nemo.config import MetadataPolicy
from geo_nemo.metadata.fields import field_words
from geo_nemo.metadata.geography import countries

CONDITION_NAMES = {
    "with": "told the truth",
    "without": "told nothing",
    "shuffled": "told another origin",
    "wrong_country": "told a wrong country",
}
OTHER_NAMES = {
    "plain": "bare text",
    "invented_host": "told an invented host",
}
OF_A_FIELD = {
    "only": "told the {} alone",
    "no": "told all but the {}",
    "other": "told a wrong {} and the rest right",
}
PART_NAMES = {"body": "Body", "title": "Title", "text": "Title and body"}
KIND_NAMES = {
    "local": "Questions whose answer depends on the country",
    "shared": "Questions with the same answer everywhere",
    "explicit": "Questions that name their country",
    "ambiguous": "Questions that do not name their country",
}
RULE_NAMES = {
    "by_sum": "by the sum of log p",
    "by_mean": "by log p per token",
    "by_byte": "by log p per byte",
    "by_null": "by log p less that of the option alone",
}
MINUS = "\u2212"
NO_INTERVAL = "too few documents"
# Of perplexity: what being told nothing may cost, docs/experiments.md.
SLIGHT = 0.003
FEW_QUESTIONS, FEW_PAIRS = "too few different questions", "too few pairs of countries"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an interval says. tone: `good`, `bad` or `flat`, for its colour."""

    text: str
    tone: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the headline's table: a question, its answer, and the figures behind it."""

    question: str
    answer: Verdict
    figures: str
    detail: str


def signed(value: float, digits: int) -> str:
    """With sign and a real minus; what rounds to zero has no sign."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def perplexity(value: float | None) -> str:
    if value is None:
        return "over 1e300"
    return f"{value:.3f}" if value < 10 else f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def interval(
    low: float | None, high: float | None, form: Callable[[float], str], few: str = NO_INTERVAL
) -> str:
    """`form` of both ends; where there is no interval, `few`: of what there is too little."""
    if low is None or high is None:
        return few
    return f"{form(low)} to {form(high)}"


def ratio_of(nats: float) -> float:
    """A difference of losses as a ratio of perplexities."""
    return math.exp(min(nats, 700.0))


def percent(ratio: float | None) -> str:
    """A ratio of perplexities as a change; small ones with one digit more, large ones as such."""
    if ratio is None:
        return ""
    if not 0.5 < ratio < 2:
        return f"x {ratio:,.3g}"
    change = 100 * (ratio - 1)
    return f"{signed(change, 1 if abs(change) >= 0.95 else 2)}%"


def loss_verdict(effect: dict[str, Any]) -> Verdict:
    """From the interval of a difference of losses; lower is better."""
    if effect["low"] is None:
        return Verdict(NO_INTERVAL, "flat")
    if effect["high"] < 0:
        return Verdict("lower loss", "good")
    if effect["low"] > 0:
        return Verdict("higher loss", "bad")
    return Verdict("no clear difference", "flat")


def is_slight(effect: dict[str, Any]) -> bool:
    """Whether a higher loss is one that hardly counts: at most SLIGHT, interval and all."""
    high = effect["ratio_high"]
    return high is not None and high <= 1 + SLIGHT


def is_dear(effect: dict[str, Any]) -> bool:
    """Whether a higher loss is more than SLIGHT, interval and all; between the two none is sure."""
    low = effect["ratio_low"]
    return low is not None and low > 1 + SLIGHT


def is_worse(effect: dict[str, Any]) -> bool:
    """Whether a loss is higher for sure, and not a slight one for sure."""
    return loss_verdict(effect).tone == "bad" and not is_slight(effect)


def beside(effect: dict[str, Any], other: str) -> str:
    """How a model is beside another, from the interval of a difference of losses that has one.

    As good is said where all of the interval is at most SLIGHT above zero; no clear difference
    alone, as of few documents, is none.
    """
    tone = loss_verdict(effect).tone
    if tone == "good":
        return f"better than {other}"
    if is_slight(effect):
        return f"as good as {other}" if tone == "flat" else f"at most {SLIGHT:.1%} behind {other}"
    return f"worse than {other}" if tone == "bad" else f"not clearly better or worse than {other}"


def accuracy_verdict(effect: dict[str, Any]) -> Verdict:
    """From the interval of a difference of accuracies; higher is better."""
    if effect["low"] is None:
        return Verdict(FEW_QUESTIONS, "flat")
    if effect["low"] > 0:
        return Verdict("more right", "good")
    if effect["high"] < 0:
        return Verdict("fewer right", "bad")
    return Verdict("no clear difference", "flat")


def pick(lines: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    """The first line with these values; runs and conditions may be tuples or lists."""
    for line in lines:
        if all(_plain(line[key]) == _plain(value) for key, value in wanted.items()):
            return line
    return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def key_name(key: list[str] | tuple[str, str]) -> str:
    """A run and a condition, as in `run a, told the truth`."""
    run, condition = key
    return f"run {run}, {condition_name(condition)}"


def condition_name(condition: str) -> str:
    """`told the truth`, of a condition by its name in the settings."""
    kind, field = kind_of(condition)
    if field:
        return OF_A_FIELD[kind].format(field)
    if told := country_told(condition):
        return f"told {countries()[told].name}"
    if guidance(condition) is not None:
        return f"guided, strength {guidance(condition):g}"
    return (CONDITION_NAMES | OTHER_NAMES)[condition]


def p_value(value: float | None, least: float = 0.0) -> str:
    """Never 0: what is smaller than can be shown is said to be.

    least: that the resamples and the correction can give; a value at it is at most so much.
    """
    if value is None:
        return ""
    if value <= least * (1 + 1e-9):
        return f"\u2264 {least:.2g}"
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def place_name(kind: str, name: str) -> str:
    """A value of a field as a reader knows it: a country by its name."""
    if kind != "country" or name not in countries():
        return name
    return countries()[name].name


def kind_name(kind: str) -> str:
    """A kind of question as a heading."""
    return KIND_NAMES.get(kind, f"Questions of kind {kind}")


def told_fields(policy: dict[str, Any]) -> str:
    """`host, country and continent`."""
    return field_words(MetadataPolicy.model_validate(policy))


def sure(evaluation: dict[str, Any]) -> str:
    return f"{100 * evaluation['config']['confidence']:g}%"
