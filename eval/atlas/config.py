"""Config of `geo-nemo atlas`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from eval.config import CONTRAST, RULES, Condition, EvalConfig, Path, RunName
from eval.kinds import BENCHMARKS
from geo_nemo.config.average import Weights
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.config.section import OnDisk, Positive, Section, Seed


class AtlasConfig(Section):
    """Which models are asked the questions of which geographic benchmarks.

    runs, weights, device, dtype, metadata, conditions: as `EvalConfig` has them; a condition tells
        the country of each question. store: token store of the training runs; null for theirs.
    benchmarks: folder with their files or folders, by their names. output: folder that receives
        `atlas.json`, `atlas.md`, `atlas.csv` and the cache of finished parts.
    only: benchmarks that are asked; null for all that are there.
    num_questions: of each benchmark, drawn by their ids; null for all.
    template, answers, rules, dev, shots: as `questions_template` and so on.
    """

    runs: Annotated[dict[RunName, Path], Field(min_length=1)]
    weights: Weights = "trained"
    store: Path | None = None
    benchmarks: Path
    output: OnDisk
    only: tuple[Literal[tuple(BENCHMARKS)], ...] | None = None
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] = ("with", "without", "plain")
    metadata: MetadataPolicy | None = None
    num_questions: Positive | None = 1000
    template: str = "Question: {question}\nAnswer:"
    answers: Literal["full", "letters"] = "full"
    rules: Annotated[tuple[Literal[RULES], ...], Field(min_length=1)] = RULES[:3]
    dev: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shots: Annotated[int, Field(ge=0)] = 0
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    seed: Seed = 1234
    device: Literal["auto", "cpu", "gpu"] = "auto"
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"

    @field_validator("template", mode="before")
    @classmethod
    def _line_ends(cls, value: object) -> object:
        r"""`\n` of a command line, which Hydra leaves as two characters."""
        return value.replace("\\n", "\n") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _questions_can_be_asked(self):
        if wrong := {CONTRAST, "shuffled"} & set(self.conditions):
            raise ValueError(f"condition {min(wrong)} is none of these questions: leave it out")
        if self.shots and not self.dev:
            raise ValueError(
                "shots takes solved questions from those that are not reported: give dev=0.2, too"
            )
        if "{question}" not in self.template:
            raise ValueError("template has no {question} in it")
        self.evaluation("factbook", "-")
        return self

    def evaluation(self, benchmark: str, path: str) -> EvalConfig:
        """One benchmark as an evaluation has it; its texts are never opened."""
        same = ("runs", "weights", "output", "conditions", "metadata", "bootstrap_samples",
                "confidence", "seed", "device", "dtype")  # fmt: skip
        return EvalConfig(
            **{name: getattr(self, name) for name in same}, store=self.store or "-",
            questions=path, questions_task=benchmark, questions_template=self.template,
            questions_answers=self.answers, questions_rules=self.rules, questions_dev=self.dev,
            questions_shots=self.shots, num_questions=self.num_questions,
        )  # fmt: skip
