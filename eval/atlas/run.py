"""Asks models the questions of every benchmark that is here.

1. Models, tokenizers and questions are opened and checked before any model is loaded.
2. Each model is loaded once, and only if one of its parts is not finished already.
3. Answers become tables as those of `geo-nemo eval`; a benchmark that is not here is listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval import accuracy, matrix
from eval.asked import Asked, ask
from eval.atlas.config import AtlasConfig
from eval.atlas.find import Found, find
from eval.cache import Cache, key_of
from eval.cells import Loader, form_key, load_model, policy_key
from eval.compared import effects_of
from eval.conditions import check_fields_of, guidance, off_distribution, view
from eval.config import Condition
from eval.model import Model, policies
from eval.models import read_models
from eval.plan import SEQUENCES_IN_ONE
from eval.questions import Answers, answer_questions
from eval.scored import distinct
from eval.scorers.tokenizers import tokenizer_of
from eval.summary import commit, versions
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.common.secrets import all_masked
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.compose import Composer

FORMAT = 1


@dataclass(frozen=True)
class Atlas:
    """What can start. asked: of each benchmark that is here, its questions."""

    config: AtlasConfig
    found: list[Found]
    models: dict[str, Model]
    policies: dict[str, MetadataPolicy]
    composers: dict[str, Composer]
    seq_length: int
    asked: dict[str, Asked]

    @property
    def missing(self) -> list[Found]:
        return [each for each in self.found if each.path is None]


def plan_atlas(config: AtlasConfig) -> Atlas:
    """Open and check everything; `UserError` at the first mistake."""
    found = find(Path(config.benchmarks), config.only)
    here = [each for each in found if each.path is not None]
    if not here:
        names = ", ".join(f"{each.files[0]}*" for each in found)
        raise UserError(f"benchmarks={config.benchmarks} holds no benchmark: it takes {names}")
    models = read_models(config.runs)
    shown = policies(models, config.metadata)
    composers = {
        name: Composer(shown[name], tokenizer_of(model, config.store))
        for name, model in models.items()
    }
    for name, policy in shown.items():
        for condition in config.conditions:
            check_fields_of(condition, policy, name)
    seq_length = min(model.seq_length for model in models.values())
    asked = {}
    for each in here:
        settings = config.evaluation(each.name, str(each.path))
        asked[each.name] = ask(settings, distinct(composers), seq_length)
    return Atlas(config, found, models, shown, composers, seq_length, asked)


def run_atlas(
    plan: Atlas, load: Loader, progress: Progress = no_progress, command: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The content of `atlas.json`. load: gives the scorer of a model. Raises as `evaluate`."""
    config, cache = plan.config, Cache(Path(plan.config.output) / "cache")
    answers: dict[str, dict[matrix.Key, Answers]] = {name: {} for name in plan.asked}
    for run, model in plan.models.items():
        scorer = None
        for name, asked in plan.asked.items():
            for condition in config.conditions:
                key = _key(plan, run, name, condition)
                arrays = cache.load(f"{run}.{condition}.{name}", key)
                if arrays is None:
                    if scorer is None:
                        progress(f"load {run}", 0, 1)
                        scorer = load_model(
                            model, plan.composers[run].tokenizer, plan.seq_length, load
                        )
                        progress(f"load {run}", 1, 1)
                    composer = plan.composers[run]
                    found = answer_questions(
                        scorer, asked.questions, view(condition, composer),
                        asked.shown.record_of(condition, composer), asked.form,
                        packed_length=SEQUENCES_IN_ONE * plan.seq_length, run=run,
                        condition=condition, null="by_null" in config.rules,
                        guidance=guidance(condition), progress=progress,
                    )  # fmt: skip
                    arrays = {k: v for k, v in vars(found).items() if v is not None}
                    cache.save(f"{run}.{condition}.{name}", key, arrays)
                answers[name][run, condition] = Answers(**arrays)
    return {
        "format": FORMAT,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": all_masked(command),
        "config": config.model_dump(mode="json"),
        "versions": versions(),
        "commit": commit(),
        "runs": {
            name: {
                "folder": str(model.folder.absolute()), "checkpoint": model.checkpoint,
                "step": model.step,
                "conditioned": model.conditioned, "identity": model.identity,
                "policy": plan.policies[name].model_dump(mode="json"),
                "off_distribution": [
                    c for c in config.conditions if off_distribution(c, model, plan.policies[name])
                ],
            }
            for name, model in plan.models.items()
        },
        "missing": [
            {"name": each.name, "files": list(each.files), "source": each.source}
            for each in plan.missing
        ],
        "benchmarks": {
            each.name: _tables(plan, each, answers[each.name])
            for each in plan.found
            if each.path is not None
        },
    }  # fmt: skip


def _tables(plan: Atlas, found: Found, answers: Mapping[matrix.Key, Answers]) -> dict[str, Any]:
    config, asked = plan.config, plan.asked[found.name]
    wanted = effects_of(config.conditions, plan.models, plan.policies)
    return {
        "path": str(found.path), "source": found.source,
        "asked": int((~asked.for_choices).sum()), "skipped": asked.questions.skipped,
        **accuracy.tables(
            asked.questions, answers, wanted, rules=config.rules, for_choices=asked.for_choices,
            samples=config.bootstrap_samples, confidence=config.confidence, seed=config.seed,
        ),
    }  # fmt: skip


def _key(plan: Atlas, run: str, name: str, condition: Condition) -> str:
    """Of everything that the answers depend on."""
    asked, model, config = plan.asked[name], plan.models[run], plan.config
    return key_of({
        "kind": "atlas", "run": model.identity, "weights": config.weights,
        "dtype": config.dtype if model.kind != "run" else "fp32",
        **policy_key(plan.policies[run]), "tokenizer": plan.composers[run].tokenizer.sha256,
        "condition": condition, "questions": [q.model_dump() for q in asked.questions.questions],
        "orders": list(asked.questions.orders), "null": "by_null" in config.rules,
        "form": form_key(asked.form),
        "shown": asked.shown.source[condition],
    })  # fmt: skip
