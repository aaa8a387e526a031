"""What each run was trained on, from its ledger: tables by stage and group, and a figure."""

from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from eval.groups import AND, COMMA
from eval.report.inputs import Inputs
from geo_nemo.common.counts import plural
from geo_nemo.reporting.svg import WIDTHS, bare, colour, inline
from geo_nemo.reporting.tables import Cell, Table

MOST_COUNTRIES = 40
BY, TEMPLATES = "by_", "templates"
COUNTED = {
    "documents": "documents",
    "text_tokens": "text tokens",
    "metadata_tokens": "metadata tokens",
}


def _continents(inputs: Inputs) -> dict[str, str]:
    return inputs.evaluation["documents"]["continents"]


def by_stage(inputs: Inputs) -> Table | None:
    """Documents, tokens and padding that each run was trained on: a line a run and stage."""
    rows = []
    for name, run in inputs.runs.items():
        for stage, entry in _all_stages(run.ledger or {}):
            trained, left_out = entry["trained"], entry["left_out"]["rows"]
            places = trained["positions"] + trained["padding"]
            fractions = (trained["metadata_tokens"], trained["padding"])
            gone = f"{plural(left_out, 'sequence')} left out" if left_out else ""
            rows.append([
                Cell(name, stage),
                Cell(f"{entry['steps']:,}", gone),
                Cell(f"{trained['documents']:,}"),
                Cell(f"{trained['text_tokens']:,}"),
                *(Cell(f"{n:,}", f"{n / places:.1%}" if places else "") for n in fractions),
            ])  # fmt: skip
    head = ("run and stage", "steps", "documents", "text tokens", "metadata tokens", "padding")
    return Table(head, rows) if rows else None


def _all_stages(ledger: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Stages with their entries, those first of the runs that the weights come from."""
    before = [
        (f"{stage} of {run['run']}", entry)
        for run in ledger.get("before", [])
        for stage, entry in run["stages"].items()
    ]
    return [*before, *ledger.get("stages", {}).items()]


def by_group(inputs: Inputs) -> list[tuple[str, Table]]:
    """(run, what it was trained on by the values of a field and by stage); two fields together.

    Behind them the same by template, where a run has more than one.
    """
    found = []
    for name, run in inputs.runs.items():
        stages = dict(_all_stages(run.ledger or {}))
        for key in _keys(stages):
            # A stage that was over before templates were counted has none.
            trained = {
                stage: _flat(entry["trained"].get(key, {})) for stage, entry in stages.items()
            }
            groups = sorted({group for sums in trained.values() for group in sums})
            if not groups or (key == TEMPLATES and len(groups) == 1):
                continue
            continents = _continents(inputs) if key == "by_country" else {}
            rows = [
                [Cell(group, continents.get(group, "")),
                 *(Cell(f"{sums.get(group, {}).get(counted, 0):,}")
                   for sums in trained.values() for counted in COUNTED)]
                for group in groups
            ]  # fmt: skip
            columns = (f"{stage}, {what}" for stage in trained for what in COUNTED.values())
            field = "template" if key == TEMPLATES else key.removeprefix(BY).replace("_and_", AND)
            found.append((name, Table((field, *columns), rows)))
    return found


def _keys(stages: dict[str, Any]) -> list[str]:
    """Keys under which a ledger has its groups, as `by_country`; templates come last."""
    entry = next(iter(stages.values()), {"trained": {}})
    return [*(key for key in entry["trained"] if key.startswith(BY)), TEMPLATES]


def _flat(by_name: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Sums by group; those of two fields by `gb, sport`."""
    found = {}
    for name, sums in by_name.items():
        nested = {f"{name}{COMMA}{second}": of for second, of in sums.items()
                  if isinstance(of, dict)}  # fmt: skip
        found |= nested or {name: sums}
    return found


def notes(inputs: Inputs) -> Table | None:
    """Steps that a run skipped, or went back from."""
    rows = []
    for name, run in inputs.runs.items():
        for note in (run.ledger or {}).get("notes", []):
            back = f" to step {note['back_to_step']:,}" if "back_to_step" in note else ""
            left_out = ", ".join(f"{step:,}" for step in note["left_out"])
            rows.append([Cell(name, note["stage"]), Cell(note["action"] + back),
                         Cell(note["reason"]), Cell(left_out)])  # fmt: skip
    return Table(("run and stage", "done", "because", "steps left out"), rows, 3) if rows else None


def plot(inputs: Inputs) -> tuple[str, str] | None:
    """(figure, caption): text tokens of the first run that has a ledger, by place and stage."""
    name, run = next(((n, r) for n, r in inputs.runs.items() if r.ledger), (None, None))
    if run is None:
        return None
    stages = run.ledger["stages"]
    key = _keys(stages)[0]
    if key == TEMPLATES:
        return None
    trained = {stage: entry["trained"][key] for stage, entry in stages.items()}
    continents = _continents(inputs) if key == "by_country" else {}
    places, what = _places(trained, continents, key.removeprefix(BY))
    number = len(places)
    places = dict(list(places.items())[:MOST_COUNTRIES])
    if len(places) < 2:
        return None

    def draw(width: str) -> Figure:
        size = (WIDTHS[width], 0.95 + 0.21 * len(places))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        before = [0] * len(places)
        for number, stage in enumerate(trained):
            tokens = [of[stage] for of in places.values()]
            axes.barh(range(len(places)), tokens, 0.66, before, color=colour(number), label=stage)
            before = [a + b for a, b in zip(before, tokens, strict=True)]
        axes.set_yticks(range(len(places)), list(places))
        axes.set_ylim(len(places) - 0.4, -0.6)
        axes.set_xlabel("text tokens trained on")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(8 if width == "wide" else 4))
        bare(axes, grid="x")
        figure.legend(loc="outside upper left", ncols=4, borderaxespad=0.2)
        return figure

    label = f"Text tokens that run {name} was trained on, by {what} and stage"
    if number > len(places):
        label += f" (the {len(places)} largest of {number})"
    return inline("ledger", label, draw), f"{label}, titles and bodies, as its ledger has them."


def _places(
    trained: dict[str, dict[str, dict[str, int]]], continents: dict[str, str], field: str
) -> tuple[dict[str, dict[str, int]], str]:
    """Text tokens by place and stage, the largest first; continents of too many countries."""
    countries = {country for sums in trained.values() for country in sums}
    few = len(countries) <= MOST_COUNTRIES or field != "country"
    found: dict[str, dict[str, int]] = {}
    for stage, by_name in trained.items():
        for country, sums in by_name.items():
            place = country if few else continents.get(country, country)
            of = found.setdefault(place, dict.fromkeys(trained, 0))
            of[stage] += sums["text_tokens"]
    order = sorted(found, key=lambda place: (-sum(found[place].values()), place))
    return {place: found[place] for place in order}, field if few else "continent"
