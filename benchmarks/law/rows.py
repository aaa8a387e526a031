"""What the law is fitted on: conditioned runs beside the ordinary run of their seed and size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.experiment.figures import Line, read_lines
from geo_nemo.common.errors import UserError

ORDINARY = "ordinary"
PART = "body"
# Runs with metadata in lines above bare text and a last stage of bare text: dropout of the whole
# prefix while conditioning, and the last stage's share of the steps. `ordinary` stands beside each.
SOURCES: dict[str, dict[str, tuple[float, float]]] = {
    "small_sizes": {
        "bare": (0.0, 0.2),
        "dropped": (0.25, 0.2),
        "short": (0.0, 0.1),
        "long": (0.0, 0.4),
    },
    "no_labels": {"bare": (0.0, 0.2), "d10_bare": (0.1, 0.2), "d25_bare": (0.25, 0.2)},
    "confirm": {"bare": (0.0, 0.2)},
    "decide": {"bare": (0.0, 0.2)},
    "demo_size": {"usual": (0.0, 0.2)},
    "longer": {
        "usual": (0.0, 0.2),
        "tenth": (0.1, 0.2),
        "dropped": (0.25, 0.2),
        "half": (0.5, 0.2),
        "two_fifths": (0.0, 0.4),
        "dropped_three_tenths": (0.25, 0.3),
    },
    "longer_confirm": {
        "usual": (0.0, 0.2),
        "dropped": (0.25, 0.2),
        "half": (0.5, 0.2),
        "half_tenth": (0.5, 0.1),
    },
    "larger": {"usual": (0.0, 0.2), "dropped": (0.25, 0.2), "half": (0.5, 0.2)},
    "largest": {"half": (0.5, 0.2)},
}
OUTCOMES = {"gain": "with", "deficit": "plain"}


@dataclass(frozen=True)
class Row:
    """A conditioned run. parameters, tokens: of its size. dropout, cooldown: shares.

    change: nats a token of its text, less those of the ordinary run of its seed on bare text:
    `gain` where it is told the truth, below 0 is better, and `deficit` on bare text.
    """

    source: str
    seed: int
    parameters: int
    tokens: int
    dropout: float
    cooldown: float
    change: Mapping[str, float]

    @property
    def compute(self) -> float:
        """Parameters x tokens."""
        return float(self.parameters * self.tokens)

    @property
    def size(self) -> tuple[int, int]:
        return self.parameters, self.tokens

    @property
    def pair(self) -> tuple[str, int, int, int]:
        """Rows of one value share their ordinary run, and so its chance."""
        return self.source, self.seed, self.parameters, self.tokens


def rows_of(source: str, lines: Sequence[Line]) -> list[Row]:
    """Rows of an experiment's finished runs; a run whose ordinary one is not finished has none.

    A run of several sizes has the size behind its name, as `bare_tiny_150`.
    """
    settings = SOURCES[source]
    ordinary = {
        _pair(line): line for line in lines if line["run"].split("_")[0] == ORDINARY
    }  # fmt: skip
    found = []
    for line in lines:
        name = line["run"] if line["run"] in settings else line["run"].split("_")[0]
        beside = ordinary.get(_pair(line))
        if name not in settings or beside is None:
            continue
        base = _nats(source, beside, "plain")
        change = {what: _nats(source, line, told) - base for what, told in OUTCOMES.items()}
        found.append(
            Row(source, line["seed"], line["parameters"], line["tokens"], *settings[name], change)
        )
    return found


def _nats(source: str, line: Line, told: str) -> float:
    try:
        return line["nats"][told][PART]
    except KeyError:
        raise UserError(
            f"{source}.jsonl: run {line['run']}, seed {line['seed']}, has no figures of {PART} "
            f"under the condition {told}: give --results FOLDER without it"
        ) from None


def _pair(line: Line) -> tuple[int, int, int]:
    return line["seed"], line["parameters"], line["tokens"]


def read_rows(folder: Path) -> list[Row]:
    """Rows of all experiments whose results lie in the folder; `UserError` where there are none."""
    found = [
        row for source in SOURCES for row in rows_of(source, read_lines(folder / f"{source}.jsonl"))
    ]
    if not found:
        raise UserError(
            f"{folder} has no finished runs of {', '.join(SOURCES)}: run "
            "python -m benchmarks experiment small_sizes"
        )
    return found
