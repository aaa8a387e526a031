"""Experiments that are named by what they are made of: `localization/1b_africa_with`.

    family/SIZE_REGION_CONDITION

SIZE is a recipe of the group `model`. REGION is one of the group `select`, or `global`: all
continents, in equal fractions. CONDITION is `with` (the family's metadata), `without`, or a recipe
of the group `metadata`. A model, a region or metadata of a user's own folder of recipes makes
names, too. Hydra finds these experiments as it finds files (`geo_nemo.config.named_source`):
`experiment=NAME`, and in a list of defaults.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

GROUP = "experiment"
GLOBAL, WITH, WITHOUT = "global", "with", "without"
CONTINENTS = ("africa", "america", "asia", "europe")
LEFT_OUT = "without_"


@dataclass(frozen=True)
class Family:
    """Experiments that share `experiment/FAMILY/base`.

    stages: those that draw from the region. told, untold: how a line about one ends, with and
    without metadata.
    """

    stages: tuple[str, ...]
    told: str
    untold: str


FAMILIES = {
    "localization": Family(
        ("condition", "cooldown"), ", then a cooldown without it", ", in both stages"
    ),
    "paper": Family(("condition",), *(", as in arXiv 2601.15236",) * 2),
}
# What the metadata of a condition are called in a line about it.
_TOLD = {
    WITH: "with URL, country and continent",
    WITHOUT: "without metadata",
    "url": "with the URL alone",
    "url_country": "with URL and country",
    "url_continent": "with URL and continent",
    "country": "with the country alone",
    "continent": "with the continent alone",
}
PLACEBO = "placebo"


@dataclass(frozen=True)
class Experiment:
    """A name, taken apart."""

    family: str
    size: str
    region: str
    condition: str

    @property
    def name(self) -> str:
        return f"{self.family}/{self.size}_{self.region}_{self.condition}"

    @property
    def purpose(self) -> str:
        """What it is for, in a line."""
        region = self.region.removeprefix(LEFT_OUT)
        place = {
            GLOBAL: "all continents",
            f"{LEFT_OUT}{region}": f"all continents but {region.capitalize()}",
        }.get(self.region, f"{region.capitalize()} alone")
        told = _TOLD.get(self.condition, f"with metadata {self.condition}")
        if self.condition == PLACEBO:
            told = "told the metadata of other documents"
        family = FAMILIES[self.family]
        end = family.untold if self.condition == WITHOUT else family.told
        return f"{self.size.upper()} on news from {place}, {told}{end}"

    @property
    def recipe(self) -> str:
        """The recipe as the text of a YAML file."""
        lines = [f"/experiment/{self.family}/base", f"override /model: {self.size}"]
        metadata = {WITH: None, WITHOUT: "none"}.get(self.condition, self.condition)
        if metadata:
            lines.append(f"override /metadata@stages.condition.metadata: {metadata}")
        group, choice = (
            ("sampling", "continents") if self.region == GLOBAL else ("select", self.region)
        )
        lines += [
            f"override /{group}@stages.{stage}.{group}: {choice}"
            for stage in FAMILIES[self.family].stages
        ]
        defaults = "".join(f"  - {line}\n" for line in [*lines, "_self_"])
        name = self.name.replace("/", "-")
        return f"# @package _global_\n# {self.purpose}.\ndefaults:\n{defaults}name: {name}\n"


def published() -> Iterator[Experiment]:
    """The experiments of arXiv 2601.15236, of each family."""
    fields = [name for name in _TOLD if name not in (WITH, WITHOUT)]
    local = [(region, told) for region in (*CONTINENTS, GLOBAL) for told in (WITH, WITHOUT)]
    left_out = [(f"{LEFT_OUT}{each}", told) for each in CONTINENTS for told in (WITH, WITHOUT)]
    by_size = {
        "0.5b": local,
        "1b": [*local, *left_out, *((GLOBAL, each) for each in fields)],
        "3b": [(GLOBAL, WITH), (GLOBAL, WITHOUT)],
    }
    for family in FAMILIES:
        for size, made in by_size.items():
            yield from (Experiment(family, size, *each) for each in sorted(made))


def parse(name: str, group_names: Callable[[str], Sequence[str]]) -> Experiment | None:
    """The experiment of `family/SIZE_REGION_CONDITION`; None where the name is no such one.

    group_names: names of the recipes of a group.
    """
    family, _, rest = name.partition("/")
    if family not in FAMILIES:
        return None
    for size in group_names("model"):
        for region in (*group_names("select"), GLOBAL):
            if rest.startswith(f"{size}_{region}_"):
                condition = rest.removeprefix(f"{size}_{region}_")
                if condition in (WITH, WITHOUT, *group_names("metadata")):
                    return Experiment(family, size, region, condition)
    return None
