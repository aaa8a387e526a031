"""Everything that an evaluation needs, open and checked, before a model is loaded.

1. Models, texts and tokenizers, and that they belong together.
2. Documents and the records that each condition shows.
3. Questions and the records that each condition shows.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval.conditions import check_fields_of, donors, shown_record, view
from eval.config import CONTRAST, Condition, EvalConfig
from eval.corpus import open_corpus
from eval.documents import (
    Documents,
    RecordOf,
    choose,
    longest_overhead,
    scored_bytes,
    scored_spans,
    shared,
)
from eval.model import Model, policies
from eval.models import read_models
from eval.overlap import trained_on
from eval.question_files import QuestionSet, for_choices
from eval.question_tasks import task_questions
from eval.questions import Form, drop_long
from eval.scorers.tokenizers import tokenizer_of
from eval.texts import Items, Texts, Tokens, check_tokenizers, open_store
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.data.conditions import tells_origin, told_codes
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.fields import Line
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.base import Tokenizer

# Longer rows waste less of their length on padding and keep a CPU or a GPU busier.
ROWS_IN_ONE = 4


@dataclass(frozen=True)
class Shown:
    """Which record each item is shown in each condition.

    source: condition -> int64 [n], item whose record is shown; None for no metadata.
    record: the record of an item.
    place: from what `RecordOf` is given to the item's place.
    contrast: the record of the other country of a question, as of its place; None of documents.
    """

    source: dict[Condition, np.ndarray | None]
    record: Callable[[int], MetadataRecord]
    place: Callable[[int], int]
    contrast: RecordOf | None = None

    def record_of(self, condition: Condition, composer: Composer) -> RecordOf:
        """What the condition shows of an item through a composer."""
        if condition == CONTRAST:
            return self.contrast
        source = self.source[condition]
        if source is None:
            return lambda item: None

        def shown(item: int) -> MetadataRecord:
            place = self.place(item)
            donor = int(source[place])
            return shown_record(condition, composer, self.record(place), self.record(donor))

        return shown


@dataclass(frozen=True)
class Plan:
    """An evaluation that can start.

    items: the split's documents. seq_length: longest fragment, that of the model with the shortest.
    row_length: of packed rows. chosen: int64 [m], documents before any is skipped.
    tokens, documents_of: of each model, in ids of its tokenizer; one and the same where the
        tokenizer is. documents: of the first, whose tokens are the unit of differences.
    for_choices: bool [questions], those that are never reported. overlap: run -> scored documents
        that it was trained on, where that can be known.
    """

    config: EvalConfig
    texts: Texts
    models: dict[str, Model]
    tokenizers: dict[str, Tokenizer]
    policies: dict[str, MetadataPolicy]
    composers: dict[str, Composer]
    seq_length: int
    row_length: int
    chosen: np.ndarray
    tokens: dict[str, Tokens]
    documents_of: dict[str, Documents]
    shown: Shown
    questions: QuestionSet | None
    questions_shown: Shown | None
    form: Form
    for_choices: np.ndarray
    overlap: dict[str, int]

    @property
    def items(self) -> Items:
        return self.texts.items

    @property
    def documents(self) -> Documents:
        return next(iter(self.documents_of.values()))


def make_plan(config: EvalConfig) -> Plan:
    """Open and check everything; raise UserError at the first mistake."""
    models = read_models(config.runs)
    for model in models.values():
        if config.weights == "average" and model.kind == "run" and not model.averaged:
            raise UserError(
                f"runs.{model.name}={model.folder} was trained without an average: leave out "
                "weights=average, or train it with average.kind=ema"
            )
    texts, tokenizers = _texts(config, models)
    shown_policies = policies(models, config.metadata)
    _check_templates(shown_policies)
    for name, policy in shown_policies.items():
        texts.check(policy, f"runs.{name}" if config.metadata is None else "metadata")
        for condition in config.conditions:
            check_fields_of(condition, policy, name)
    if config.groups is not None:
        texts.check_groups(config.groups)
    composers = {
        name: Composer(policy, tokenizers[name]) for name, policy in shown_policies.items()
    }
    seq_length = min(model.seq_length for model in models.values())
    row_length = config.row_length or ROWS_IN_ONE * seq_length
    if row_length < seq_length:
        raise UserError(
            f"row_length={row_length} is below the {seq_length} positions that a document may take"
        )

    items = texts.items
    chosen = choose(np.asarray(items.country), config.num_documents, config.seed)
    distinct = _distinct(composers)
    lines = _lines(distinct)

    def record(place: int) -> MetadataRecord:
        return items.record(int(chosen[place]))

    if tells_origin(lines):
        told = np.asarray(items.country)[chosen]
    else:
        told = told_codes(lines, len(chosen), record)
    shown = Shown(
        source={
            condition: donors(condition, told, config.seed, "documents")
            for condition in config.document_conditions
        },
        record=record,
        place=lambda index: int(np.searchsorted(chosen, index)),
    )
    tokens, documents = _scored(config, texts, composers, chosen, shown, seq_length)
    overlap = _overlap(config, texts, models, chosen)
    questions, questions_shown, form, choices = _questions(config, distinct, seq_length)
    return Plan(
        config=config, texts=texts, models=models, tokenizers=tokenizers, policies=shown_policies,
        composers=composers, seq_length=seq_length, row_length=row_length, chosen=chosen,
        tokens=tokens, documents_of=documents, shown=shown, questions=questions,
        questions_shown=questions_shown, form=form, for_choices=choices,
        overlap=overlap,
    )  # fmt: skip


def _texts(config: EvalConfig, models: Mapping[str, Model]) -> tuple[Texts, dict[str, Tokenizer]]:
    """What is scored, and each model's tokenizer."""
    if config.corpus is None:
        texts = open_store(config.store, config.split, config.cache_dir)
        tokenizer = texts.store.tokenizer()
        check_tokenizers(models, tokenizer, config.store)
        return texts, dict.fromkeys(models, tokenizer)
    found: dict[str, Tokenizer] = {}
    by_hash: dict[str, Tokenizer] = {}
    store = config.store
    if store is not None:
        store = str(TokenStore.open(store, cache_dir=config.cache_dir, tokens=False).root)
    for name, model in models.items():
        tokenizer = tokenizer_of(model, store)
        found[name] = by_hash.setdefault(tokenizer.sha256, tokenizer)
    return open_corpus(Path(config.corpus), config.split), found


def _overlap(
    config: EvalConfig, texts: Texts, models: Mapping[str, Model], chosen: np.ndarray
) -> dict[str, int]:
    if not texts.hashed:
        return {}
    hashes = np.asarray(texts.items.content_hash)[chosen]
    found = trained_on(hashes, models, getattr(texts, "store", None))
    for name, count in found.items():
        if count and not config.allow_overlap:
            raise UserError(
                f"runs.{name} was trained on {count:,} of the {len(chosen):,} documents of split "
                f"{config.split}: score a split that it has not seen, or add allow_overlap=true, "
                "which reports their number"
            )
    return found


def _scored(
    config: EvalConfig,
    texts: Texts,
    composers: Mapping[str, Composer],
    chosen: np.ndarray,
    shown: Shown,
    seq_length: int,
) -> tuple[dict[str, Tokens], dict[str, Documents]]:
    """Ids and scored documents of each model; the same objects for models of one tokenizer."""
    pairs: dict[str, list] = {}
    for composer in _distinct(composers):
        mine = pairs.setdefault(composer.tokenizer.sha256, [])
        mine += [
            (view(condition, composer), shown.record_of(condition, composer))
            for condition in config.document_conditions
        ]
    if config.corpus is None:
        ids = dict.fromkeys(pairs, texts.items)
        sizes = None
    else:

        def budget(mine: list):
            def most(place: int, title: np.ndarray) -> int:
                room = seq_length + 1 - longest_overhead(int(chosen[place]), title, mine)
                return max(0, room if config.max_tokens is None else min(room, config.max_tokens))

            return most

        by_hash = {c.tokenizer.sha256: c.tokenizer for c in composers.values()}
        found, sizes = texts.tokens(
            chosen, [by_hash[key] for key in pairs], [budget(mine) for mine in pairs.values()]
        )
        ids = dict(zip(pairs, found, strict=True))
    scored = {
        key: scored_spans(
            ids[key], np.asarray(texts.items.country), chosen, mine, seq_length, config.max_tokens
        )
        for key, mine in pairs.items()
    }
    if sizes is None:
        tokenizer = next(iter(composers.values())).tokenizer
        scored = {
            key: scored_bytes(documents, texts.items, pairs[key][0][0], tokenizer)
            for key, documents in scored.items()
        }
    else:
        scored = {
            key: _with_sizes(documents, sizes, chosen, ids[key].whole)
            for key, documents in shared(scored).items()
        }
    key_of = {name: composer.tokenizer.sha256 for name, composer in composers.items()}
    return (
        {name: ids[key] for name, key in key_of.items()},
        {name: scored[key] for name, key in key_of.items()},
    )


def _with_sizes(
    documents: Documents, sizes: np.ndarray, chosen: np.ndarray, whole: frozenset[int]
) -> Documents:
    mine = sizes[np.searchsorted(chosen, documents.index)]
    uncut = np.array([index in whole for index in documents.index.tolist()], dtype=bool)
    return replace(
        documents, title_bytes=mine[:, 0], body_bytes=mine[:, 1], whole=documents.whole & uncut
    )


def _questions(
    config: EvalConfig, composers: list[Composer], seq_length: int
) -> tuple[QuestionSet | None, Shown | None, Form, np.ndarray]:
    form = Form(
        config.questions_template, config.questions_answers == "letters", config.questions_title
    )
    if not config.asks:
        return None, None, form, np.zeros(0, bool)
    path = config.questions or f"the task {config.questions_task}"
    asked = task_questions(config)
    if config.questions_shots:
        form = _with_shots(form, asked, config)
    asked = drop_long(asked, composers, form, seq_length)
    if not asked.questions:
        raise UserError(f"no question of {path} fits in {seq_length} tokens with its metadata")
    choices = np.array(
        [for_choices(q, config.questions_dev, config.seed) for q in asked.questions], bool
    )
    if choices.all():
        raise UserError(
            f"questions_dev={config.questions_dev} keeps all {len(choices)} questions of {path} "
            "for choices, and none is left to report: give a smaller fraction"
        )
    if CONTRAST in config.conditions and not any(q.contrast_record for q in asked.questions):
        raise UserError(
            f"condition {CONTRAST}: no question of {path} has the answer of another country among "
            "its "
            "options: leave it out of conditions="
        )
    return asked, _shown_to(asked, config, _lines(composers)), form, choices


def _with_shots(form: Form, asked: QuestionSet, config: EvalConfig) -> Form:
    """With solved questions of those kept for choices, in the order of their hashes."""
    pairs = [
        (question, order)
        for question, order in zip(asked.questions, asked.orders, strict=True)
        if for_choices(question, config.questions_dev, config.seed)
    ]
    pairs.sort(key=lambda pair: zlib.crc32(f"{config.seed} shot {pair[0].id}".encode()))
    if len(pairs) < config.questions_shots:
        raise UserError(
            f"questions_shots={config.questions_shots}, and questions_dev={config.questions_dev} "
            f"keeps {len(pairs)} questions for them: give a larger fraction, or fewer shots"
        )
    shots = pairs[: config.questions_shots]
    return replace(form, shots=[q for q, _ in shots], shot_orders=[order for _, order in shots])


def _shown_to(asked: QuestionSet, config: EvalConfig, lines: list[Line]) -> Shown:
    def record(place: int) -> MetadataRecord:
        return asked.questions[place].record

    told = told_codes(lines, len(asked.questions), record)
    return Shown(
        source={
            condition: donors(condition, told, config.seed, "questions")
            for condition in config.question_conditions
        },
        record=record,
        place=lambda place: place,
        contrast=lambda place: asked.questions[place].contrast_record or record(place),
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


def _distinct(composers: Mapping[str, Composer]) -> list[Composer]:
    """One composer a policy and tokenizer: models with the same ones compose the same."""
    keys = {(c.policy.hash(), c.tokenizer.sha256): c for c in composers.values()}
    return list(keys.values())
