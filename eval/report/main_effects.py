"""The comparisons that the lead and the table of questions rest on, and figures of theirs."""

from typing import Any

from eval.report.sentences import pick, signed

PART = "body"
# The purpose of the comparison that tells what training with metadata costs.
COST = "conditioned model, not told, against plain model"


def main_effect(evaluation: dict[str, Any]) -> dict[str, Any] | None:
    """The comparison that the sentence is about."""
    effects = evaluation["perplexity"]["effects"]
    for purpose in ("conditioned model, told, against plain model", "told against not told"):
        effect = effect_of(effects, evaluation, purpose)
        if effect is not None:
            return effect
    return None


def cost_effect(evaluation: dict[str, Any]) -> dict[str, Any] | None:
    """What training with metadata costs, or brings, where nothing is told."""
    effects = evaluation["perplexity"]["effects"]
    return effect_of(effects, evaluation, COST)


def effect_of(
    effects: list[dict[str, Any]], evaluation: dict[str, Any], purpose: str
) -> dict[str, Any] | None:
    """Over all documents, of the bodies where there are any, as `of_latest` chooses."""
    lines = [e for e in effects if e["group"] == "all" and e["purpose"] == purpose]
    found = [of_latest([e for e in lines if e["part"] == part], evaluation)
             for part in (PART, "text")]  # fmt: skip
    return found[0] or found[1]


def of_latest(lines: list[dict[str, Any]], evaluation: dict[str, Any]) -> dict[str, Any] | None:
    """Of lines of one comparison, that of the first told run at its latest step, against the latest
    step of the other; of any run where none was told. None of no lines.
    """
    about = evaluation["runs"]
    lines = sorted(lines, key=lambda e: -(about[e["against"][0]].get("step") or 0))
    for run in told_runs(evaluation):
        for line in lines:
            if line["of"][0] == run:
                return line
    return lines[0] if lines else None


def told_runs(evaluation: dict[str, Any]) -> list[str]:
    """Runs that were trained with metadata of the documents' own; of each its last step first."""
    about = evaluation["runs"]
    told = [name for name, run in about.items() if run["conditioned"] and not run.get("placebo")]
    return _latest_first(told, about)


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


def has_no_labels(evaluation: dict[str, Any]) -> bool:
    """Whether the bare text is the model's own text without metadata, to the last token."""
    own = effect_of(evaluation["perplexity"]["effects"], evaluation, "bare text against not told")
    return own is None and "plain" in evaluation["conditions"]


def cell_of(evaluation: dict[str, Any], key: list[str]) -> dict[str, Any]:
    cells = evaluation["perplexity"]["cells"]
    wanted = {"group": "all", "run": key[0], "condition": key[1]}
    return pick(cells, part=PART, **wanted) or pick(cells, part="text", **wanted)


def points(difference: float) -> str:
    return signed(100 * difference, 1)
