"""The entropy of a synthetic corpus, which no model can go below, beside what models reach.

`floors.jsonl.gz` gives the nats of each document by its URL. The store keeps host and path, not the
id, so documents are matched by URL; a URL that stands twice is not matched. A body's floor covers
the end of the text, so it is read against body and EOS together.
"""

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.documents import Documents
from eval.matrix import Key
from eval.perplexity import Scores
from eval.texts import Items
from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError

# Floors of a document by what a reader knows of its origin, nats.
COLUMNS = ("title_with", "body_with", "title_without", "body_without")


def read_floors(path: Path, split: Items, documents: Documents) -> np.ndarray:
    """Floors of the documents, float64 [n, 4] in the order of `COLUMNS`; NaN where unmatched.

    Raises UserError where the file cannot be read or matches no document.
    """
    place_of: dict[str, int | None] = {}
    for place, index in enumerate(documents.index.tolist()):
        record = split.record(index)
        url = record.host + record.path
        place_of[url] = None if url in place_of else place
    floors = np.full((len(documents), len(COLUMNS)), np.nan)
    seen: set[str] = set()
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                entry = parse_json(line)
                url = str(entry["url"]).partition("://")[2]
                place = place_of.get(url)
                if place is None:
                    continue
                nats = [float(entry[name]) for name in COLUMNS]
                floors[place] = np.nan if url in seen else nats
                seen.add(url)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read floors {path}: {error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a file of floors: {error!r}") from None
    if not np.isfinite(floors).any():
        raise UserError(f"{path} names no document of split {split.name}: it is of another corpus")
    return floors


def table(
    floors: np.ndarray,
    documents: Documents,
    scores: Mapping[Key, Scores],
    runs: Sequence[str],
) -> dict[str, Any]:
    """Mean nats of a document: floor, and what each run reaches, told and not told.

    Only documents that are matched and scored whole count. `per_token` is the floor by trained
    token, EOS included: the unit of the training loss.
    """
    used = np.flatnonzero(np.isfinite(floors).all(1) & documents.whole)
    result: dict[str, Any] = {"documents": len(used), "of": len(documents), "lines": []}
    if not len(used):
        return result
    means = dict(zip(COLUMNS, floors[used].mean(0).tolist(), strict=True))
    tokens = float((documents.tokens[used] + 1).mean())
    result["tokens_per_document"] = tokens
    result["per_token"] = {
        "with": (means["title_with"] + means["body_with"]) / tokens,
        "without": (means["title_without"] + means["body_without"]) / tokens,
    }
    for condition in ("with", "without"):
        floor = {"title": means[f"title_{condition}"], "body": means[f"body_{condition}"]}
        result["lines"].append({"condition": condition, "run": None, **floor})
        for run in runs:
            if (run, condition) in scores:
                found = scores[run, condition]
                reached = {
                    "title": float(found.title[used].mean()),
                    "body": float((found.body + found.eos)[used].mean()),
                }
                result["lines"].append({"condition": condition, "run": run, **reached})
    return result
