"""Runs an evaluation: every trained run in every condition, then the tables.

1. `make_plan` checks everything (eval/plan.py).
2. Scores and answers of each run and condition, or what of them is finished (eval/cells.py).
3. Scores become tables; `documents.npz` is written, and `eval.json` last.
"""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from eval import accuracy, floors, matrix, spread, where
from eval.cache import Cache
from eval.cells import Loader, score
from eval.compared import effects_of
from eval.conditions import off_distribution
from eval.config import CONTRAST, EvalConfig
from eval.groups import Group, fields_of, groups, told_fields
from eval.matrix import Key
from eval.overlap import TRAIN
from eval.perplexity import Scores
from eval.plan import Plan, make_plan
from eval.questions import Answers
from eval.summary import commit, describe_documents, describe_runs, versions
from geo_nemo.common.files import make_folder, write_together
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.common.seal import sealed
from geo_nemo.common.secrets import all_masked
from geo_nemo.metadata.record import MetadataRecord

FORMAT = 1
RECORD, ARRAYS = "eval.json", "documents.npz"


def evaluate(
    config: EvalConfig,
    load: Loader,
    progress: Progress = no_progress,
    command: Sequence[str] = (),
    plan: Plan | None = None,
) -> dict[str, Any]:
    """The content of `eval.json`, which is written to `config.output`.

    load: gives the scorer of a model. command: kept in the record, without passwords. plan: of the
    same config, where it was made already.
    Raises UserError for mistakes in config and data, RunError where a likelihood is not finite.
    """
    plan = plan or make_plan(config)
    output = Path(config.output)
    floor_nats = None
    if config.floors is not None:
        floor_nats = floors.read_floors(Path(config.floors), plan.items, plan.documents)
    # Before anything is scored: a field may not fit.
    fields = fields_of(config.groups, plan.models.values())
    records = [plan.items.record(index) for index in plan.documents.index.tolist()]
    given = config.groups is not None
    others = () if given else told_fields(plan.policies.values(), records, fields)
    found_groups = groups(fields, records, others) + _groups(plan, records)
    hosts = np.asarray(plan.items.host)[plan.documents.index]
    make_folder(output)
    scores, answers = score(plan, load, Cache(output / "cache"), progress)
    progress("tables", 0, 1)
    wanted = effects_of(config.document_conditions, plan.models, plan.policies)
    settings = {
        "samples": config.bootstrap_samples, "confidence": config.confidence, "seed": config.seed,
    }  # fmt: skip
    asked = plan.questions
    result = {
        "format": FORMAT,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": all_masked(command),
        "config": config.model_dump(mode="json"),
        "versions": versions(),
        "commit": commit(),
        "conditions": list(config.document_conditions),
        "runs": describe_runs(plan),
        "documents": describe_documents(plan),
        "perplexity": matrix.tables(
            plan.documents_of, scores, found_groups, wanted, hosts=hosts, **settings
        ),
        "places": where.by_place(
            plan.documents_of, scores, [e for e in wanted if e.purpose in matrix.PLACED], **settings
        ),
        "constant_and_slope": spread.constant_and_slope(
            plan.documents_of, scores, [e for e in wanted if e.purpose in matrix.PLACED], **settings
        ),
        "floor": None
        if floor_nats is None
        else floors.table(floor_nats, plan.documents, scores, list(plan.models)),
        "questions": None if asked is None else _questions(plan, answers, settings),
    }
    result["countries"] = spread.over_countries(result["perplexity"]["effects"])
    arrays = _per_document(plan, scores)
    record = sealed(result, {ARRAYS: arrays})
    write_together({output / ARRAYS: arrays, output / RECORD: record})
    progress("tables", 1, 1)
    return result


def _groups(plan: Plan, records: Sequence[MetadataRecord]) -> list[Group]:
    """Documents by host and country in training, and by their titles' words in the URL."""
    found: list[Group] = []
    documents, store = plan.documents, getattr(plan.texts, "store", None)
    if store is not None and TRAIN in store.manifest.splits:
        hosts = np.asarray(plan.items.host)[documents.index]
        trained = store.split(TRAIN)
        known = np.array([record.host != "" for record in records])
        found += where.by_host(hosts, np.unique(trained.host), known)
        counts = np.bincount(np.asarray(trained.country), minlength=len(store.countries))
        found += where.by_frequency(documents.country, counts)
    if any(record.path for record in records):
        name, tokens = next(iter(plan.tokens.items()))
        decode = plan.tokenizers[name].decode
        titles = [decode(tokens.title(i).tolist()) for i in documents.index.tolist()]
        found += where.by_slug(titles, [record.path for record in records])
    return found


def _questions(plan: Plan, answers: dict[Key, Answers], settings: dict) -> dict[str, Any]:
    asked, config = plan.questions, plan.config
    conditions = [each for each in config.question_conditions if each != CONTRAST]
    wanted = effects_of(conditions, plan.models, plan.policies)
    told = {
        name: off_distribution("with", model, plan.policies[name])
        for name, model in plan.models.items()
    }
    lines = [line for composer in plan.composers.values() for line in composer.lines]
    reported = [asked.questions[n] for n in np.flatnonzero(~plan.for_choices)]
    return {
        "asked": len(reported),
        # Whatever the condition: they have nothing that could be told.
        "untold": sum(all(line.value(q.record) is None for line in lines) for q in reported),
        "skipped": asked.skipped,
        "repeated": int((asked.repeats != np.arange(len(asked.questions))).sum()),
        "conditions": conditions,
        "shots": config.questions_shots,
        **accuracy.tables(
            asked, answers, wanted, rules=config.questions_rules, for_choices=plan.for_choices,
            off_distribution=told, **settings,
        ),
    }  # fmt: skip


def _per_document(plan: Plan, scores: dict[Key, Scores]) -> bytes:
    """`documents.npz`: one value a document, and [keys, n] nats; `keys` names run and condition."""
    documents = plan.documents
    content = io.BytesIO()
    np.savez(
        content,
        index=documents.index,
        country=documents.country,
        content_hash=np.asarray(plan.items.content_hash)[documents.index],
        title_tokens=documents.title_tokens,
        body_tokens=documents.body_tokens,
        title_bytes=documents.title_bytes,
        body_bytes=documents.body_bytes,
        token_hash=documents.token_hash,
        whole=documents.whole,
        keys=np.array([f"{run}/{condition}" for run, condition in scores]),
        **{
            part: np.stack([getattr(found, part) for found in scores.values()])
            for part in ("title", "body", "eos")
        },
    )
    return content.getvalue()
