"""What a training run was trained on, as far as it decides the run's place in an experiment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geo_nemo.config import Run
from geo_nemo.config.stage_sizes import taken_tokens


@dataclass(frozen=True, slots=True)
class Trained:
    """Of a run at one of its checkpoints.

    fields: metadata that its first stage with any showed; empty: a plain model.
    continents: those that it was trained on alone; empty: all but `left_out`.
    narrowed: its documents were chosen by something besides continents.
    parameters: of the model; 0 where the run's record has none. seed: of weights and order.
    placebo: its metadata were those of other documents.
    tokens: positions trained so far; final_tokens: at the end of the run.
    """

    fields: tuple[str, ...]
    continents: tuple[str, ...]
    left_out: tuple[str, ...]
    narrowed: bool
    parameters: int
    seed: int
    tokens: int
    final_tokens: int
    placebo: bool = False

    @property
    def told(self) -> bool:
        """Whether it was trained with metadata that were the documents' own."""
        return bool(self.fields) and not self.placebo

    @property
    def plain(self) -> bool:
        """Whether it was trained without metadata."""
        return not self.fields

    @property
    def is_global(self) -> bool:
        """Whether it was trained on everything."""
        return not (self.continents or self.left_out or self.narrowed)

    @property
    def finished(self) -> bool:
        return self.tokens == self.final_tokens


def trained(run: Run, record: Mapping[str, Any], step: int) -> Trained:
    """Of a run's config and record (`run.json`), after `step` steps."""
    stages = list(run.stages.values())
    shown = next((stage for stage in stages if stage.metadata.fields), stages[0])
    select = shown.select
    places = {"continents", "exclude_continents"}
    others = select.model_dump(exclude=places) != type(select)().model_dump(exclude=places)
    return Trained(
        fields=tuple(shown.metadata.fields),
        continents=tuple(sorted(select.continents)),
        left_out=tuple(sorted(select.exclude_continents)),
        narrowed=others,
        parameters=int(record.get("parameters") or 0),
        seed=run.seed,
        tokens=taken_tokens(run, step),
        final_tokens=taken_tokens(run, run.train.steps),
        placebo=shown.metadata.placebo,
    )


def read_trained(record: Mapping[str, Any]) -> Trained:
    """What `asdict` of one wrote into a file of JSON."""
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in record.items()}
    return Trained(**values)
