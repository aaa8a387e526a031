"""What an evaluation says of itself: its runs, its documents, and the versions used."""

import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eval.conditions import off_distribution
from eval.plan import Plan
from geo_nemo.common.versions import installed

CONTROLS = ("shuffled", "wrong_country")
PACKAGES = ("geo-nemo", "megatron-core", "torch", "numpy", "sentencepiece", "tokenizers",
            "transformers")  # fmt: skip


def versions() -> dict[str, str]:
    """Python's version, and those of the packages that decide the figures."""
    return {"python": platform.python_version(), **installed(PACKAGES)}


def commit() -> str | None:
    """The commit of this code, where it runs in a checkout whose files are as they were committed.

    None in an installed package. With changes, the commit has a `+` behind it.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        found = _git(root, "rev-parse", "HEAD")
        return found + "+" * bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def describe_runs(plan: Plan) -> dict[str, dict[str, Any]]:
    """Each run's checkpoint, training and the policy under which it was evaluated."""
    return {
        name: {
            "kind": model.kind,
            # Absolute, as that of the texts, so that a report is made from any folder.
            "folder": str(model.folder.absolute()),
            "checkpoint": model.checkpoint,
            "identity": model.identity,
            "step": model.step,
            "steps": model.steps,
            "seq_length": model.seq_length,
            "conditioned": model.conditioned,
            "placebo": model.placebo,
            "tokenizer_sha256": plan.tokenizers[name].sha256,
            # None: what it was trained on is not known, or stands in no store that is compared.
            "same_store": model.store_hash == plan.texts.hash
            if model.store_hash and plan.config.corpus is None
            else None,
            "off_distribution": [
                condition
                for condition in plan.config.document_conditions
                if off_distribution(condition, model, plan.policies[name])
            ],
            "policy": plan.policies[name].model_dump(mode="json"),
            "policy_hash": plan.policies[name].hash(),
            "trained": asdict(model.trained) if model.trained else None,
            "policy_hashes": {s: stage.metadata.hash() for s, stage in model.stages.items()},
        }
        for name, model in plan.models.items()
    }


def describe_documents(plan: Plan) -> dict[str, Any]:
    """Numbers of documents and tokens, countries without any, and what the controls showed."""
    documents, items, countries = plan.documents, plan.items, plan.texts.countries
    counts = np.bincount(documents.country, minlength=len(countries))
    tokens = np.bincount(documents.country, weights=documents.tokens, minlength=len(countries))
    return {
        # Where the texts stand; absolute, so that the folder of the evaluation can be moved.
        "store" if plan.config.corpus is None else "corpus": str(
            Path(plan.texts.address).resolve()
        ),
        "store_hash": plan.texts.hash,
        "tokenizer_sha256": next(iter(plan.tokenizers.values())).sha256,
        "split": items.name,
        "in_split": items.num_documents,
        "scored": len(documents),
        "cut": int((~documents.whole).sum()),
        "skipped": documents.skipped,
        "seq_length": plan.seq_length,
        "bytes": int(documents.title_bytes.sum() + documents.body_bytes.sum()),
        "title_tokens": int(documents.title_tokens.sum()),
        "body_tokens": int(documents.body_tokens.sum()),
        "by_country": {
            country: {"documents": int(n), "tokens": int(t)}
            for country, n, t in zip(countries, counts, tokens, strict=True)
            if n
        },
        # In the order of their numbers in documents.npz.
        "countries": list(countries),
        "continents": dict(plan.texts.continent_of),
        "countries_without_documents": [
            country for country, n in zip(countries, counts, strict=True) if not n
        ],
        "controls": _controls(plan),
        # Of the chosen: with nothing to tell; others of unknown country.
        "untold": plan.shown.untold,
        "unknown_country": plan.shown.unknown,
        "overlap": max(plan.overlap.values(), default=0),
        "overlap_not_known": [name for name in plan.models if name not in plan.overlap],
        "repeated": len(documents) - len(np.unique(documents.token_hash)),
        # Of known name.
        "hosts": sum(
            items.hosts[n] != "" for n in np.unique(np.asarray(items.host)[documents.index])
        ),
    }


def _controls(plan: Plan) -> dict[str, dict[str, float]]:
    """How often a control's record happens to have the document's own host or country."""
    host = np.asarray(plan.items.host)[plan.chosen]
    country = np.asarray(plan.items.country)[plan.chosen]
    found = {}
    for condition, source in plan.shown.source.items():
        if source is None or condition not in CONTROLS:
            continue
        other = source != np.arange(len(source))  # the rest have nothing to tell
        if not other.any():
            continue
        found[condition] = {
            "same_host": float((host[source] == host)[other].mean()),
            "same_country": float((country[source] == country)[other].mean()),
        }
    return found
