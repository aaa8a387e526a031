"""Everything that an evaluation needs, open and checked, before a model is loaded.

1. Runs, store and tokenizer, and that they belong together.
2. Documents and the records that each arm shows.
3. Questions and the records that each arm shows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.arms import donors
from eval.config import Arm, EvalConfig
from eval.documents import Documents, RecordOf, choose, scored_spans
from eval.questions import QuestionSet, drop_long, read_questions
from eval.runs import TrainedRun, policies, read_run
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.data.conditions import tells_origin, told_codes
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.fields import Line
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store import Split, TokenStore
from geo_nemo.store.fields import check_columns, check_fields

# Longer rows waste less of their length on padding and keep a CPU or a GPU busier.
ROWS_IN_ONE = 4


@dataclass(frozen=True)
class Shown:
    """Which record each item is shown in each arm.

    source: arm -> int64 [n], item whose record is shown; None for no metadata.
    record: the record of an item.
    place: from what `RecordOf` is given to the item's place.
    """

    source: dict[Arm, np.ndarray | None]
    record: Callable[[int], MetadataRecord]
    place: Callable[[int], int]

    def record_of(self, arm: Arm) -> RecordOf:
        source = self.source[arm]
        if source is None:
            return lambda item: None
        return lambda item: self.record(int(source[self.place(item)]))


@dataclass(frozen=True)
class Plan:
    """An evaluation that can start.

    seq_length: longest fragment, that of the run with the shortest. row_length: of packed rows.
    chosen: int64 [m], documents before any is skipped.
    """

    config: EvalConfig
    store: TokenStore
    split: Split
    runs: dict[str, TrainedRun]
    policies: dict[str, MetadataPolicy]
    composers: dict[str, Composer]
    seq_length: int
    row_length: int
    chosen: np.ndarray
    documents: Documents
    shown: Shown
    questions: QuestionSet | None
    questions_shown: Shown | None


def make_plan(config: EvalConfig) -> Plan:
    """Open and check everything; raise UserError at the first mistake."""
    store = TokenStore.open(config.store, cache_dir=config.cache_dir)
    split = store.split(config.split)
    tokenizer = store.tokenizer()
    runs = {name: read_run(name, Path(folder)) for name, folder in config.runs.items()}
    for run in runs.values():
        if config.weights == "average" and not run.config.average.is_kept:
            raise UserError(
                f"runs.{run.name}={run.folder} was trained without an average: leave out "
                "weights=average, or train it with average.kind=ema"
            )
        if run.tokenizer_sha256 != tokenizer.sha256:
            raise UserError(
                f"runs.{run.name}={run.folder} was trained with another tokenizer than that of "
                f"store={config.store}: evaluate it on a store made with its own"
            )
    shown_policies = policies(runs, config.metadata)
    _check_templates(shown_policies)
    for name, policy in shown_policies.items():
        key = f"runs.{name}" if config.metadata is None else "metadata"
        check_fields(policy, split, key)
    if config.groups is not None:
        check_columns(MetadataPolicy(fields=config.groups), store, "groups")
    composers = {name: Composer(policy, tokenizer) for name, policy in shown_policies.items()}
    seq_length = min(run.config.data.seq_length for run in runs.values())
    row_length = config.row_length or ROWS_IN_ONE * seq_length
    if row_length < seq_length:
        raise UserError(
            f"row_length={row_length} is below the {seq_length} positions that a document may take"
        )

    chosen = choose(np.asarray(split.country), config.num_documents, config.seed)
    distinct = _distinct(composers)
    lines = _lines(distinct)

    def record(place: int) -> MetadataRecord:
        return split.record(int(chosen[place]))

    if tells_origin(lines):
        told = np.asarray(split.country)[chosen]
    else:
        told = told_codes(lines, len(chosen), record)
    shown = Shown(
        source={arm: donors(arm, told, config.seed, "documents") for arm in config.arms},
        record=record,
        place=lambda index: int(np.searchsorted(chosen, index)),
    )
    pairs = [(c, shown.record_of(arm)) for c in distinct for arm in config.arms]
    documents = scored_spans(split, chosen, pairs, seq_length, config.max_tokens)
    questions, questions_shown = _questions(config, distinct, seq_length)
    return Plan(
        config=config, store=store, split=split, runs=runs, policies=shown_policies,
        composers=composers, seq_length=seq_length,
        row_length=row_length, chosen=chosen, documents=documents,
        shown=shown, questions=questions, questions_shown=questions_shown,
    )  # fmt: skip


def _questions(
    config: EvalConfig, composers: list[Composer], seq_length: int
) -> tuple[QuestionSet | None, Shown | None]:
    if config.questions is None:
        return None, None
    path = Path(config.questions)
    asked = drop_long(
        read_questions(path, config.seed), composers, config.questions_title, seq_length
    )
    if not asked.questions:
        raise UserError(f"no question of {path} fits in {seq_length} tokens with its metadata")
    return asked, _shown_to(asked, config, _lines(composers))


def _shown_to(asked: QuestionSet, config: EvalConfig, lines: list[Line]) -> Shown:
    def record(place: int) -> MetadataRecord:
        return asked.questions[place].record

    told = told_codes(lines, len(asked.questions), record)
    return Shown(
        source={arm: donors(arm, told, config.seed, "questions") for arm in config.question_arms},
        record=record,
        place=lambda place: place,
    )


def _check_templates(shown: dict[str, MetadataPolicy]) -> None:
    """Raise `UserError` where runs have texts that differ, so that tokens cannot be the same."""
    first = next(iter(shown))
    for name, policy in shown.items():
        if policy.template != shown[first].template:
            raise UserError(
                f"runs.{name} was trained under another template than runs.{first}, so that their "
                f"losses are of other tokens: evaluate them one by one, or give metadata="
            )


def _lines(composers: list[Composer]) -> list[Line]:
    """What the composers tell together."""
    return [line for composer in composers for line in composer.lines]


def _distinct(composers: dict[str, Composer]) -> list[Composer]:
    """One composer a policy: runs with the same one compose the same."""
    return list({composer.policy.hash(): composer for composer in composers.values()}.values())
