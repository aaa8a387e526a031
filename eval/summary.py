"""What an evaluation says of itself: its runs, its documents, and the versions used."""

import platform
from typing import Any

import numpy as np

from eval.plan import Plan
from geo_nemo.config.versions import installed

PACKAGES = ("geo-nemo", "megatron-core", "torch", "numpy", "sentencepiece", "tokenizers")


def versions() -> dict[str, str]:
    """Python's version, and those of the packages that decide the figures."""
    return {"python": platform.python_version(), **installed(PACKAGES)}


def describe_runs(plan: Plan) -> dict[str, dict[str, Any]]:
    """Each run's checkpoint, training and the policy under which it was evaluated."""
    return {
        name: {
            "folder": str(run.folder),
            "checkpoint": run.checkpoint.name,
            "step": run.step,
            "steps": run.config.train.steps,
            "seq_length": run.config.data.seq_length,
            "conditioned": run.conditioned,
            "same_store": run.store_hash == plan.store.hash,
            "policy": plan.policies[name].model_dump(mode="json"),
            "policy_hash": plan.policies[name].hash(),
            "policy_hashes": {s: stage.metadata.hash() for s, stage in run.config.stages.items()},
        }
        for name, run in plan.runs.items()
    }


def describe_documents(plan: Plan) -> dict[str, Any]:
    """Numbers of documents and tokens, countries without any, and what the controls showed."""
    documents, split, countries = plan.documents, plan.split, plan.store.countries
    counts = np.bincount(documents.country, minlength=len(countries))
    tokens = np.bincount(documents.country, weights=documents.tokens, minlength=len(countries))
    return {
        "store": str(plan.store.root),
        "store_hash": plan.store.hash,
        "tokenizer_sha256": plan.store.manifest.tokenizer.sha256,
        "split": split.name,
        "in_split": split.num_documents,
        "scored": len(documents),
        "cut": int((~documents.whole).sum()),
        "skipped": documents.skipped,
        "seq_length": plan.seq_length,
        "title_tokens": int(documents.title_tokens.sum()),
        "body_tokens": int(documents.body_tokens.sum()),
        "by_country": {
            country: {"documents": int(n), "tokens": int(t)}
            for country, n, t in zip(countries, counts, tokens, strict=True)
            if n
        },
        "continents": plan.store.continent_of,
        "countries_without_documents": [
            country for country, n in zip(countries, counts, strict=True) if not n
        ],
        "controls": _controls(plan),
    }


def _controls(plan: Plan) -> dict[str, dict[str, float]]:
    """How often a control's record happens to have the document's own host or country."""
    host = np.asarray(plan.split.host)[plan.chosen]
    country = np.asarray(plan.split.country)[plan.chosen]
    return {
        arm: {
            "same_host": float((host[source] == host).mean()),
            "same_country": float((country[source] == country).mean()),
        }
        for arm, source in plan.shown.source.items()
        if source is not None and arm != "with"
    }
