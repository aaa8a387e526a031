"""The runs of an experiment, checked before anything trains, and what they share.

Two runs of one seed whose first stages are the same train them once: the later one is branched off
the other's checkpoint at the border. Which documents a stage has follows from the names, lengths
and selections of all stages, so these must be the same; later stages may differ in their policy,
their rate and their sampling.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from benchmarks.experiment.schema import Experiment
from geo_nemo.config import Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.config.quoting import quote
from geo_nemo.config.stage_bounds import stage_borders
from geo_nemo.data.outline import outline_stages
from geo_nemo.runtime.device import resolve_device
from geo_nemo.store import TokenStore
from geo_nemo.train.origin import Origin
from geo_nemo.train.setup import SPLIT, fingerprint, prepare

# A run is saved about so often, so that little is lost with it; at most so many times as often.
SAVED_EVERY = 100
MOST_TIMES = 5
_OF_LATER_STAGES = ("metadata", "lr", "sampling")


@dataclass(frozen=True)
class Branch:
    """Where a run takes over another's weights: its number in the plan, and the step."""

    source: int
    step: int


@dataclass
class Planned:
    """A run of one seed. settings: of `geo-nemo train`. key: of all that decides its weights.

    saves: steps at which others branch off.
    """

    name: str
    seed: int
    folder: Path
    settings: list[str]
    run: Run
    fingerprint: dict[str, str]
    branch: Branch | None = None
    saves: set[int] = field(default_factory=set)

    @property
    def key(self) -> str:
        """Sixteen hex digits."""
        text = json.dumps(self.fingerprint, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        return f"{self.name}, seed {self.seed}"

    @property
    def steps(self) -> int:
        """Steps that it trains itself."""
        return self.run.train.steps - (self.branch.step if self.branch else 0)

    @property
    def saved_every(self) -> int:
        """Steps between its checkpoints, so that there is one wherever a run branches off.

        All of them are kept, so that a step without divisors of use gets fewer rather than many.
        """
        if not self.saves:
            return min(SAVED_EVERY, self.run.train.steps)
        common = math.gcd(*self.saves)
        divisors = [n for n in range(1, common + 1) if common % n == 0]
        often = max(n for n in divisors if n <= SAVED_EVERY)
        if MOST_TIMES * often >= min(common, SAVED_EVERY):
            return often
        return min(n for n in divisors if n > SAVED_EVERY)


def plan_runs(experiment: Experiment, store: Path, work: Path) -> list[Planned]:
    """Every run of every seed, those first that others branch off; `UserError` for a mistake."""
    planned: list[Planned] = []
    opened = TokenStore.open(store)
    tokenizer, split = opened.tokenizer(), opened.split(SPLIT)
    loaded = {name: load_run(experiment, name, store) for name in experiment.runs}
    origins: dict[str, Origin | None] = {}
    for name, run in loaded.items():
        try:
            resolve_device(run.device)
            origins[name] = prepare(run, 1, tokens=False).origin
            outlines = outline_stages(run, split, tokenizer)
        except UserError as error:
            raise UserError(f"run {name}: {error}") from None
        for stage, outline in outlines.items():
            if outline.epochs > experiment.max_epochs:
                raise UserError(
                    f"run {name}, stage {stage}: the store is too small, it has "
                    f"{outline.documents:,} documents for the stage and would show each "
                    f"{outline.epochs:.2f} times: give fewer train.steps, a larger corpus, or "
                    f"max_epochs: {math.ceil(outline.epochs * 10) / 10}"
                )
    for seed in experiment.seeds:
        for name, run in loaded.items():
            folder = work / name / f"seed-{seed}"
            changed = run.model_copy(update={"seed": seed, "output_dir": str(folder)})
            settings = [*_settings(experiment, name, store), f"seed={seed}"]
            settings += [f"output_dir={quote(folder)}"]
            prints = fingerprint(changed, opened, tokenizer, origins[name])
            planned.append(Planned(name, seed, folder, settings, changed, prints))
    _share(planned)
    return planned


def _settings(experiment: Experiment, name: str, store: Path) -> list[str]:
    shared = [*experiment.settings, *experiment.runs[name]]
    return [*shared, f"name={name}", f"data.store={quote(store)}"]


def load_run(experiment: Experiment, name: str, store: Path) -> Run:
    """A run's config, with the seed that its settings have; `UserError` names the run."""
    try:
        return load_config("train", Run, [*_settings(experiment, name, store), "output_dir=/none"])
    except UserError as error:
        raise UserError(f"run {name}: {error}") from None


def _share(planned: list[Planned]) -> None:
    """Let each run branch off the one before it of its seed with which most steps are the same."""
    for number, run in enumerate(planned):
        found = [(common_steps(planned[n], run), n) for n in range(number)]
        most = max((steps for steps, _ in found), default=0)
        if most == 0:
            continue
        source = next(n for steps, n in found if steps == most)
        # What the other has itself branched off lies in the first of them.
        while (of := planned[source].branch) and of.step >= most:
            source = of.source
        run.branch = Branch(source, most)
        planned[source].saves.add(most)


def common_steps(one: Planned, other: Planned) -> int:
    """Steps from the first on in which two runs are the same to the bit."""
    if one.fingerprint.keys() != other.fingerprint.keys():
        return 0
    if one.run.meta_tokens != other.run.meta_tokens:  # rows that the model has in all stages
        return 0
    differing = [key for key, value in one.fingerprint.items() if other.fingerprint[key] != value]
    stages, first = list(one.run.stages), len(one.run.stages)
    for key in differing:
        head, _, rest = key.partition(".")
        stage, _, what = rest.rpartition(".")
        if head != "stages" or what not in _OF_LATER_STAGES:
            return 0
        first = min(first, stages.index(stage))
    return stage_borders(one.run)[first]


def stage_lengths(run: Run) -> dict[str, int]:
    """Steps of each stage."""
    borders = pairwise(stage_borders(run))
    return {name: last - first for name, (first, last) in zip(run.stages, borders, strict=True)}
