"""Every run in every condition: scores and answers, from the cache where they are finished.

A run's model is loaded once, and only if one of its conditions is not finished already.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from eval.cache import Cache, key_of
from eval.conditions import guidance, view
from eval.config import CONTRAST, Condition
from eval.matrix import Key
from eval.model import Model
from eval.perplexity import BANDS, Scores, score_documents
from eval.plan import Plan
from eval.questions import Answers, Form, answer_questions
from eval.scorers.base import Scorer
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.fields import brought_fields
from geo_nemo.tokenizers.base import Tokenizer

Loader = Callable[[Model], Scorer]


def score(
    plan: Plan, load: Loader, cache: Cache, progress: Progress = no_progress
) -> tuple[dict[Key, Scores], dict[Key, Answers]]:
    """Scores of documents and answers of every run and condition, cached ones included."""
    scores: dict[Key, Scores] = {}
    answers: dict[Key, Answers] = {}
    for run in plan.models:
        scorer: Scorer | None = None
        for condition in plan.config.conditions:
            for kind in _kinds(plan, condition):
                name = f"{run}.{condition}.{kind}"
                key = _key(plan, run, condition, kind)
                arrays = cache.load(name, key)
                if arrays is None:
                    if scorer is None:
                        progress(f"load {run}", 0, 1)
                        scorer = load_model(
                            plan.models[run], plan.tokenizers[run], plan.seq_length, load
                        )
                        progress(f"load {run}", 1, 1)
                    arrays = _score(plan, run, condition, kind, scorer, progress)
                    cache.save(name, key, arrays)
                else:
                    progress(f"{run}, {condition}", 1, 1, note=f"{kind} already scored")
                if kind == "documents":
                    scores[run, condition] = Scores(**arrays)
                else:
                    answers[run, condition] = Answers(**arrays)
    return scores, answers


def finished(plan: Plan, cache: Cache) -> list[Key]:
    """Runs and conditions whose documents need not be scored again."""
    keys = [
        (run, condition) for run in plan.models for condition in plan.config.document_conditions
    ]
    return [
        (run, condition)
        for run, condition in keys
        if cache.load(f"{run}.{condition}.documents", _key(plan, run, condition, "documents"))
        is not None
    ]


def load_model(model: Model, tokenizer: Tokenizer, seq_length: int, load: Loader) -> Scorer:
    """The scorer of a model, checked: it knows every token, and takes `seq_length` of them."""
    scorer = load(model)
    if scorer.vocab_size < tokenizer.vocab_size:
        raise UserError(
            f"runs.{model.name} has {scorer.vocab_size} tokens and its tokenizer "
            f"{tokenizer.vocab_size}: give the tokenizer that it was trained with, or a store made "
            "with that"
        )
    if scorer.seq_length < seq_length:
        raise UserError(
            f"runs.{model.name} takes {scorer.seq_length} positions, its run.json says {seq_length}"
        )
    return scorer


def _kinds(plan: Plan, condition: Condition) -> list[str]:
    """What is scored in a condition."""
    asked = plan.questions is not None and condition in plan.config.question_conditions
    return ["documents"] * (condition != CONTRAST) + ["questions"] * asked


def _score(
    plan: Plan, run: str, condition: Condition, kind: str, scorer: Scorer, progress: Progress
) -> dict[str, np.ndarray]:
    shown = plan.shown if kind == "documents" else plan.questions_shown
    record_of = shown.record_of(condition, plan.composers[run])
    composer = view(condition, plan.composers[run])
    if kind == "documents":
        found = score_documents(
            scorer, plan.tokens[run], plan.documents_of[run], composer, record_of,
            packed_length=plan.packed_length, run=run, condition=condition, progress=progress,
            guidance=guidance(condition),
        )  # fmt: skip
    else:
        found = answer_questions(
            scorer, plan.questions, composer, record_of, plan.form,
            packed_length=plan.packed_length, run=run, condition=condition, progress=progress,
            null="by_null" in plan.config.questions_rules, guidance=guidance(condition),
        )  # fmt: skip
    return {name: value for name, value in vars(found).items() if value is not None}


def policy_key(policy: MetadataPolicy) -> dict[str, str]:
    """Of all that decides what a policy shows: fields of other packages by their code, too."""
    brought = brought_fields(policy)
    return {"policy": policy.hash(), **({"brought_fields": brought} if brought else {})}


def form_key(form: Form) -> list[Any]:
    """Of all that decides how questions are put; solved ones need not be among those asked."""
    shots = zip(form.shots, form.shot_orders, strict=True)
    return [form.template, form.letters, [[shot.model_dump(), order] for shot, order in shots]]


def _key(plan: Plan, run: str, condition: Condition, kind: str) -> str:
    """Of everything that a result depends on."""
    model, composer = plan.models[run], plan.composers[run]
    values: dict[str, Any] = {
        "kind": kind,
        "run": model.identity,
        "weights": plan.config.weights,
        **policy_key(plan.policies[run]),
        "tokenizer": composer.tokenizer.sha256,
        # As conditions were called once: what was scored then still serves.
        "arm": condition,
    }
    if model.kind != "run":
        values["dtype"] = plan.config.dtype
    if kind == "documents":
        documents = plan.documents_of[run]
        values |= {
            "store": plan.texts.hash,
            "split": plan.items.name,
            "documents": [documents.index, documents.token_hash, documents.whole],
            "chosen": plan.chosen,
            "shown": plan.shown.source[condition],
            "bands": BANDS,
        }
        if (
            condition == "plain"
        ):  # at first its first words had the tokens that they have behind labels
            values["tokens"] = "of the bare text"
    else:
        values |= {
            "questions": [question.model_dump() for question in plan.questions.questions],
            "orders": list(plan.questions.orders),
            "title": plan.config.questions_title,
            "form": form_key(plan.form),
            "null": "by_null" in plan.config.questions_rules,
            "shown": plan.questions_shown.source[condition],
        }
    return key_of(values)
