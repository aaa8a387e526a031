"""The claims of the questions after tuning, and their section in docs/experiments.md."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.experiment.figures import short
from benchmarks.experiment.verdict import interval, verdict
from geo_nemo.reporting.tables import markdown

NAME = "answers"
Line = dict


@dataclass(frozen=True)
class Claim:
    """A fraction right, of a model told something and a kind of question, is `at_least` so much.

    beside: with what an ordinary model reaches taken off.
    """

    says: str
    of: tuple[str, str, str]
    at_least: float
    beside: bool = False

    def value(self, line: Line) -> float:
        """Of a seed's line."""
        model, told, kind = self.of
        right = line["right"]
        return right[model][told][kind] - (right["ordinary"]["untold"][kind] if self.beside else 0)


TOLD, UNTOLD = ("conditioned", "told"), ("conditioned", "untold")
# Written down before anything was run. A local question has an answer for each country.
CLAIMS = (
    Claim("told its country, it answers local questions", (*TOLD, "local"), 0.8),
    Claim("a question's answers for two countries are both right", (*TOLD, "switched"), 0.7),
    Claim("told its country, it answers shared questions", (*TOLD, "shared"), 0.95),
    Claim("told nothing, it answers shared questions", (*UNTOLD, "shared"), 0.95),
    Claim("local ones, told, less an ordinary model's", (*TOLD, "local"), 0.5, True),
    Claim("local ones, told nothing, less an ordinary model's", (*UNTOLD, "local"), -0.05, True),
    Claim("shared ones, told nothing, less an ordinary model's", (*UNTOLD, "shared"), -0.05, True),
)
ROWS = {
    "conditioned, told": TOLD,
    "conditioned, told nothing": UNTOLD,
    "ordinary, tuned alike": ("ordinary", "untold"),
}


def verdicts(lines: Sequence[Line]) -> list[tuple[str, str, str]]:
    """A row a claim: what it says, mean with Student's interval over seeds, the verdict."""
    found = []
    for claim in CLAIMS:
        mean, low, high = interval([claim.value(line) for line in lines])
        says = f"{claim.says}: at least {claim.at_least:.0%}"
        judged = verdict(-high, -low, -claim.at_least)
        found.append((says, f"{mean:.1%} [{low:.1%}, {high:.1%}]", judged))
    return found


def table(lines: Sequence[Line]) -> str:
    """Fractions right: a row a model, a column a kind, by seed."""
    kinds = ("local", "shared", "switched")
    rows = []
    for name, (model, told) in ROWS.items():
        cells = [line["right"][model][told] for line in lines]
        shown = [
            ", ".join(f"{cell[kind]:.0%}" for cell in cells) if kind in cells[0] else "-"
            for kind in kinds
        ]
        rows.append((name, *shown))
    return markdown(("model", "local", "shared", "both of two countries"), rows)


def section(lines: Sequence[Line]) -> str:
    """The section in Markdown."""
    first, seeds = lines[0], ", ".join(str(line["seed"]) for line in lines)
    machine = first["machine"]
    rows = [(says, measured, f"**{judged}**") for says, measured, judged in verdicts(lines)]
    return f"""## {NAME}

**Tuned with true metadata, does a model answer for the country that it is told, and lose nothing
where it is told nothing?**

`python -m benchmarks {NAME}`: two models are pre-trained as the demo's are, one with metadata and
one on bare text; both are exported, tuned on the same instructions (`tuning=small`), and asked what
tuning did not hold. Fractions of answers that are right, by seed:

{table(lines)}

{markdown(("claim", "measured", "verdict"), rows)}

Seeds {seeds}; {first["asked"]["steps"]} steps of pre-training; commit {short(first["commit"])}; \
{machine["cores"]} cores of {machine["cpu"]}, torch {machine["torch"]}.
"""
