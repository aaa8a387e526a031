"""Config of the evaluation and of the report."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from eval.kinds import FILE, TASKS, TaskName
from geo_nemo.common.addresses import check_address, is_remote
from geo_nemo.config.average import Weights
from geo_nemo.config.groups import Groups
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.config.secret import Arguments
from geo_nemo.config.section import Filled, NonNegative, OnDisk, Positive, Section, Seed, renamed

# Named in eval/conditions.py; each but the first four is asked for.
CONDITIONS = ("with", "without", "shuffled", "wrong_country")
OTHER_CONDITIONS = ("plain", "invented_host", "contrast")
AS = r"as_[a-z]{2}"
GUIDANCE = r"guidance_\d+(\.\d+)?"
CONDITION = (
    rf"^({'|'.join(CONDITIONS + OTHER_CONDITIONS)}|(only|no|other)_[A-Za-z0-9_]+|{GUIDANCE}|{AS})$"
)
# A question's wrong country is its control; a shuffle of questions would add nothing to it.
NO_QUESTION_CONDITION = "shuffled"
# Asks a question as if in the country of its contrast answer; documents have none.
CONTRAST = "contrast"
QUESTION_FIELDS = ("id", "kind", "country", "continent", "host", "title", "prompt", "options",
                   "answer", "contrast", "contrast_country")  # fmt: skip
# What arXiv 2601.15236 evaluated on, beside the full URL.
PAPER = {"num_documents": 1000, "max_tokens": 1024}
RULES = ("by_sum", "by_mean", "by_byte", "by_null")


def _condition(name: str) -> str:
    if not re.fullmatch(CONDITION, name):
        raise ValueError(
            f"no condition {name}: there is {', '.join(CONDITIONS + OTHER_CONDITIONS)}, with "
            "the name of a field only_FIELD, no_FIELD and other_FIELD, with a "
            "country as_gb, and with a strength guidance_1.5"
        )
    return name


Condition = Annotated[str, AfterValidator(_condition)]
# No dot: on the command line, runs.a.b=x would be a key b of a.
RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
RunName = Annotated[str, Field(pattern=RUN_NAME)]
Path = Filled


class EvalConfig(Section):
    """What is evaluated, on which documents, and how sure the figures are.

    runs: models, name -> directory of a training run (`RUN@200` is its checkpoint of step 200,
        `RUN@all` each of them), or of a model in the format of transformers.
    weights: of the runs: the `trained` ones, or their `average`, where every run keeps one.
    store: token store, here or on `s3://`; its tokenizer must be the one the models were trained
        with. cache_dir: folder that receives a copy of one on `s3://`, as data.cache_dir does.
    corpus: Parquet of `geo-nemo prep` in place of the store: each model reads the texts by its own
        tokenizer. A `store` beside it is where the runs' tokenizer is.
    output: folder that receives `eval.json`, `documents.npz` and the cache of finished conditions.
    split: split of the store that is scored.
    questions: country questions, JSON Lines, Parquet or CSV; null for none.
    questions_task: what makes questions of that file, or without one: `file` takes its rows; else
        one of entry points of the group `geo_nemo.tasks`, or `module:attribute`.
    questions_options: keyword arguments of such a one.
    questions_fields: which column of the file serves for what (`prompt: stem`, `options: [a, b]`),
        where its name is not one of those in use.
    questions_title: title that stands before a question without a `title` of its own; null for
        none. Choose it on other questions than the ones reported.
    questions_template: of a prompt, with `{question}`. questions_answers: options in full, or as
        letters behind a list of them. questions_shots: solved questions before each.
    questions_dev: fraction of the questions that is never reported: the scoring rule is chosen on
        it, and solved questions are taken from it. questions_rules: the scoring rules; without
        such questions the first one counts.
    num_questions: that are reported, drawn by their ids; null for all.
    floors: per-document entropy of a synthetic corpus, `floors.jsonl.gz`; null for none.
    conditions: what a model is told about a document; `with` is the truth, `plain` the bare text,
        without the labels of title and body.
    metadata: how metadata is shown; null shows each run what it was trained on, and a run that
        was trained without metadata what the first run with metadata was.
    groups: fields by whose values figures are told apart, one or two and the table of both; null
        for those of the runs, and a table by each field that a run is told and that has few values.
    num_documents: documents scored, stratified by country; null for all.
    packed_length: positions of a packed sequence, several documents each; null for four times the
        length that the runs were trained at. It changes speed and memory only.
    max_tokens: title and body tokens scored of a document; null for what fits the sequence.
    allow_overlap: score documents that a run was trained on, too, and report their number; without
        it they are an error.
    protocol: `paper` scores as arXiv 2601.15236 did: 1,000 documents, 1,024 tokens of each, and the
        full URL wherever a model is told one.
    device, dtype: where models run, and how precisely; training runs always in fp32.
    """

    runs: Annotated[dict[RunName, Path], Field(min_length=1)]
    weights: Weights = "trained"
    store: Path | None = None
    corpus: Path | None = None
    cache_dir: OnDisk | None = None
    output: OnDisk
    split: Path = "test"
    questions: Path | None = None
    questions_task: TaskName = FILE
    questions_options: Arguments = Field(default_factory=dict)
    questions_fields: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    questions_title: str | None = None
    questions_template: str = "{question}"
    questions_answers: Literal["full", "letters"] = "full"
    questions_shots: NonNegative = 0
    num_questions: Positive | None = None
    questions_dev: Annotated[float, Field(ge=0, lt=1)] = 0.0
    questions_rules: Annotated[tuple[Literal[RULES], ...], Field(min_length=1)] = RULES[:2]
    floors: Path | None = None
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] = CONDITIONS
    metadata: MetadataPolicy | None = None
    groups: Groups | None = None
    num_documents: Positive | None = None
    max_tokens: Positive | None = 1024
    packed_length: Positive | None = None
    allow_overlap: bool = False
    protocol: Literal["own", "paper"] = "own"
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    seed: Seed = 1234
    device: Literal["auto", "cpu", "gpu"] = "auto"
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"

    @property
    def asks(self) -> bool:
        """Whether there are questions."""
        return self.questions is not None or self.questions_task != FILE

    @property
    def document_conditions(self) -> tuple[Condition, ...]:
        """The conditions in which documents are scored."""
        return tuple(condition for condition in self.conditions if condition != CONTRAST)

    @property
    def question_conditions(self) -> tuple[Condition, ...]:
        """The conditions in which questions are asked."""
        return tuple(
            condition for condition in self.conditions if condition != NO_QUESTION_CONDITION
        )

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, values: object) -> object:
        return renamed(values, arms="conditions", row_length="packed_length")

    @field_validator("store")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        return check_address("store", value) if value and is_remote(value) else value

    @field_validator("questions_template", mode="before")
    @classmethod
    def _line_ends(cls, value: object) -> object:
        r"""`\n` of a command line, which Hydra leaves as two characters."""
        return value.replace("\\n", "\n") if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _of_the_paper(cls, values: object) -> object:
        """What `protocol: paper` stands for; ValueError where a setting says something else."""
        if not isinstance(values, dict) or values.get("protocol") != "paper":
            return values
        for key, value in PAPER.items():
            if values.get(key) not in (None, value):
                raise ValueError(f"protocol=paper is {key}={value}: leave out {key}={values[key]}")
        return {**values, **PAPER}

    @model_validator(mode="after")
    def _conditions_once(self):
        if len(set(self.conditions)) != len(self.conditions):
            raise ValueError(f"conditions {list(self.conditions)} names a condition twice")
        if self.asks and not self.question_conditions:
            raise ValueError(f"questions need another condition than {NO_QUESTION_CONDITION}")
        if not self.document_conditions or (CONTRAST in self.conditions and not self.asks):
            raise ValueError(
                f"condition {CONTRAST} is one of questions: add questions= and another condition"
            )
        if "{question}" not in self.questions_template:
            raise ValueError("questions_template has no {question} in it")
        if self.questions_options and self.questions_task in TASKS.known:
            raise ValueError("questions_options are for another package's task: name it, too")
        unknown = set(self.questions_fields) - set(QUESTION_FIELDS)
        if unknown:
            raise ValueError(
                f"questions_fields: no {sorted(unknown)[0]}; there is {', '.join(QUESTION_FIELDS)}"
            )
        if self.questions_shots and not self.questions_dev:
            raise ValueError(
                "questions_shots takes solved questions from those that are not reported: give "
                "questions_dev=0.2, too"
            )
        if self.store is None and self.corpus is None:
            alone = "; questions alone are asked by geo-nemo atlas" if self.questions else ""
            raise ValueError(f"no texts to score: give store=STORE, or corpus=PREP/corpus{alone}")
        if self.metadata is not None and not self.metadata.fields:
            raise ValueError(
                "metadata shows no field; leave it out, or choose conditions=[without]"
            )
        return self


class ReportConfig(Section):
    """Where the report's figures come from and where the page goes.

    eval: output folder of the evaluation.
    runs, store: default to those that the evaluation used.
    sample_sequence: number of the packed sequence that is shown of each stage; null for one of the
        first that holds the most documents.
    """

    eval: Path
    output: OnDisk
    runs: dict[RunName, Path] | None = None
    store: Path | None = None
    title: str = "geo_nemo report"
    sample_sequence: NonNegative | None = None

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, values: object) -> object:
        return renamed(values, sample_row="sample_sequence")
