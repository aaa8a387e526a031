"""Everything that an evaluation needs, open and checked, before a model is loaded.

1. Models, texts and tokenizers, and that they belong together.
2. Documents, their ids and the records that each condition shows (eval/scored.py, eval/shown.py).
3. Questions and the records that each condition shows (eval/asked.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.asked import ask
from eval.conditions import check_fields_of
from eval.config import EvalConfig
from eval.corpus import open_corpus
from eval.documents import Documents, choose
from eval.model import Model, policies, with_full_url
from eval.models import read_models
from eval.overlap import trained_on
from eval.question_files import QuestionSet
from eval.questions import Form
from eval.scored import distinct, scored_documents
from eval.scorers.tokenizers import tokenizer_of
from eval.shown import Shown, to_documents
from eval.texts import Items, Texts, Tokens, check_tokenizers, open_store
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.compose import Composer
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.base import Tokenizer

# Longer sequences waste less of their length on padding and keep a CPU or a GPU busier.
SEQUENCES_IN_ONE = 4


@dataclass(frozen=True)
class Plan:
    """An evaluation that can start.

    items: the split's documents. seq_length: longest fragment, that of the model with the shortest.
    packed_length: of packed sequences. chosen: int64 [m], documents before any is skipped.
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
    packed_length: int
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
    if config.protocol == "paper":
        shown_policies = {name: with_full_url(p) for name, p in shown_policies.items()}
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
    packed_length = config.packed_length or SEQUENCES_IN_ONE * seq_length
    if packed_length < seq_length:
        raise UserError(
            f"packed_length={packed_length} is below the {seq_length} positions that a "
            "document may take"
        )

    items = texts.items
    chosen = choose(np.asarray(items.country), config.num_documents, config.seed)
    alike = distinct(composers)
    shown = to_documents(items, chosen, config, alike)
    tokens, documents = scored_documents(config, texts, composers, chosen, shown, seq_length)
    overlap = _overlap(config, texts, models, chosen)
    asked = ask(config, alike, seq_length)
    return Plan(
        config=config, texts=texts, models=models, tokenizers=tokenizers, policies=shown_policies,
        composers=composers, seq_length=seq_length, packed_length=packed_length, chosen=chosen,
        tokens=tokens, documents_of=documents, shown=shown, questions=asked.questions,
        questions_shown=asked.shown, form=asked.form, for_choices=asked.for_choices,
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
    store = getattr(texts, "store", None)
    if store is None and config.store is not None:
        store = TokenStore.open(config.store, cache_dir=config.cache_dir, tokens=False)
    found = trained_on(hashes, models, store)
    for name, count in found.items():
        if count and not config.allow_overlap:
            raise UserError(
                f"runs.{name} was trained on {count:,} of the {len(chosen):,} documents of split "
                f"{config.split}: score a split that it has not seen, or add allow_overlap=true, "
                "which reports their number"
            )
    return found


def _check_templates(shown: dict[str, MetadataPolicy]) -> None:
    """Raise `UserError` where runs have texts that differ, so that tokens cannot be the same."""
    first = next(iter(shown))
    for name, policy in shown.items():
        if policy.template != shown[first].template:
            raise UserError(
                f"runs.{name} was trained under another template than runs.{first}, so that their "
                f"losses are of other tokens: evaluate them one by one, or give metadata="
            )
