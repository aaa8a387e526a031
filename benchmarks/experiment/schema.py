"""What an experiment's file says: question, runs, seeds, evaluation, and claims with thresholds."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from eval.config import Condition, RunName
from geo_nemo.common.addresses import is_remote
from geo_nemo.common.errors import UserError
from geo_nemo.common.parse import parse_yaml
from geo_nemo.config.load import validate
from geo_nemo.config.section import Positive, Section, Seed

FOLDER = Path(__file__).parents[1] / "experiments"
# A run and what it is told, as in the evaluation.
Cell = tuple[str, Condition]
Settings = tuple[str, ...]
Words = Annotated[str, Field(min_length=1)]
# Fields by whose values every evaluation tells figures apart.
ALWAYS = ("country", "continent")
# What stands in the folder of all that is made, beside the runs' own folders.
CORPUS, BEFORE, TIMING = "corpus", "before", "timing"
# What the command itself gives to each training and evaluation.
OF_TRAINING = ("seed", "name", "output_dir", "data.store")
OF_EVALUATION = ("runs", "store", "corpus", "output", "conditions")


class Corpus(Section):
    """A synthetic corpus and its store, by settings of `geo-nemo synth` and `geo-nemo prep run`."""

    synth: Settings = ()
    prep: Settings = ("tokenizer.vocab_size=1536", "tokenizer.shrink=true")


class Evaluation(Section):
    """conditions: what the models are told. part: whose loss claims are about. settings: more of
    `geo-nemo eval`. Every run is evaluated under one policy, so that all score the same tokens.
    plot_by: a field of `groups` whose values are the axis of a second plot.
    """

    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] = ("with", "without", "plain")
    part: Annotated[str, Field(pattern="^(text|title|body)$")] = "body"
    settings: Settings = ("metadata=full",)
    plot_by: Annotated[str, Field(pattern=r"^\w+$")] | None = None

    @model_validator(mode="after")
    def _groups_by_it(self):
        if self.plot_by is not None and not self.tells_apart(self.plot_by):
            raise ValueError(f"plot_by: {self.plot_by} needs groups={self.plot_by} in settings")
        return self

    def tells_apart(self, field: str) -> bool:
        """Whether there are figures by the values of a field."""
        listed = [text for text in self.settings if text.startswith("groups=")]
        return field in ALWAYS or any(re.search(rf"\b{field}\b", text) for text in listed)


class Claim(Section):
    """What is claimed of one cell against the baseline's, over seeds.

    of, against: a run and what it is told; against is the baseline. at_most: change of perplexity,
    0.003 is 0.3% more. keeps: instead, the least share of the gain that cell `than` has over the
    same baseline. among: of texts of one value of a field alone, as `continent=Africa`; a field
    that is neither country nor continent stands in evaluation.settings as `groups`.
    """

    says: str
    of: Cell
    against: Cell | None = None
    at_most: Annotated[float, Field(gt=-1)] | None = None
    keeps: Annotated[float, Field(gt=0)] | None = None
    than: Cell | None = None
    among: Annotated[str, Field(pattern=r"^\w+=\S.*$")] | None = None

    @model_validator(mode="after")
    def _has_a_threshold(self):
        if self.against is None:
            raise ValueError("no baseline: give against: [RUN, CONDITION]")
        if (self.at_most is None) == (self.keeps is None):
            raise ValueError("give at_most, or keeps: one of them is the threshold")
        if (self.keeps is None) != (self.than is None):
            raise ValueError("keeps needs than: [RUN, CONDITION], whose gain it is a share of")
        return self

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All that it compares."""
        return tuple(cell for cell in (self.of, self.against, self.than) if cell is not None)


class Experiment(Section):
    """An experiment.

    expected: what was expected before anything ran. store: of the texts; or corpus. settings: of
    `geo-nemo train`, of all runs; runs: what is each run's own. before: commands of `geo-nemo` that
    are carried out once before anything trains, in order: a name and the words of each. In these,
    in settings and runs, `{before}` is the folder of what they make, and `{store}` the store; a
    folder `{before}/recipes` that they fill is one of recipes. seeds: of weights and order.
    baseline: the cell that the table compares with. max_epochs: how often a stage may see its
    documents.
    """

    question: Words
    expected: Words
    store: Words | None = None
    corpus: Corpus | None = None
    settings: Settings = ()
    before: dict[RunName, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    runs: Annotated[dict[RunName, Settings], Field(min_length=2)]
    seeds: tuple[Seed, ...]
    baseline: Cell
    evaluation: Evaluation = Evaluation()
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]
    max_epochs: Annotated[float, Field(gt=0)] = 1.0
    timing_steps: Positive = 12

    @model_validator(mode="after")
    def _consistent(self):
        if len(set(self.seeds)) < 2:
            raise ValueError(
                f"seeds {list(self.seeds)}: an interval over seeds needs two different ones"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} names a seed twice")
        if (self.store is None) == (self.corpus is None):
            raise ValueError("give store: FOLDER, or corpus: {synth: [...], prep: [...]}")
        if self.store is not None and is_remote(self.store):
            raise ValueError(f"store={self.store}: give a folder of this machine")
        for name in (CORPUS, BEFORE, TIMING):
            if name in self.runs:
                raise ValueError(f"runs.{name}: that folder is the experiment's; rename the run")
        for name, own in {"settings": self.settings, **self.runs}.items():
            where = name if name == "settings" else f"runs.{name}"
            _check_left_out(where, own, OF_TRAINING)
        _check_left_out("evaluation.settings", self.evaluation.settings, OF_EVALUATION)
        for number, claim in enumerate(self.claims):
            field = (claim.among or ALWAYS[0]).partition("=")[0]
            if not self.evaluation.tells_apart(field):
                raise ValueError(
                    f"claims.{number}.among: {field} needs groups={field} in evaluation.settings"
                )
        named = {"baseline": (self.baseline,)}
        named |= {f"claims.{n}": claim.cells for n, claim in enumerate(self.claims)}
        for where, cells in named.items():
            for run, condition in cells:
                if run not in self.runs:
                    raise ValueError(f"{where} names run {run}; there is {', '.join(self.runs)}")
                if condition not in self.evaluation.conditions:
                    raise ValueError(
                        f"{where} names condition {condition}, which evaluation.conditions does "
                        "not list"
                    )
        return self


def _check_left_out(where: str, settings: Settings, keys: tuple[str, ...]) -> None:
    """Raise `ValueError` for a setting that the command gives, so that this one counted nothing."""
    for text in settings:
        given = text.lstrip("+~").partition("=")[0]
        for key in keys:
            if given == key or given.startswith(f"{key}."):
                raise ValueError(f"{where}: {text} is the experiment's to give: leave it out")


def read_experiment(name: str) -> tuple[str, Experiment]:
    """An experiment and its name: one of this folder, or a YAML file of the user's."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml"))) or "none yet"
        raise UserError(f"no experiment {name}: there is {there}; or give a YAML file")
    try:
        values = parse_yaml(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings: see benchmarks/experiments for one that does")
    needed = [k for k, field in Experiment.model_fields.items() if field.is_required()]
    if missing := [key for key in needed if key not in values]:
        raise UserError(f"{path} has no {missing[0]}: add it to the file")
    return path.stem, validate(str(path), Experiment, values)
