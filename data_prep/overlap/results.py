"""What the stages of overlap found, for the stages after them and for the card."""

from typing import Any

import numpy as np

from data_prep.config import Prep
from data_prep.dedup.arrays import load
from data_prep.engine import Stage
from data_prep.ingest import PartRef, all_parts
from data_prep.overlap.overlap_steps import WHOLE, OverlapIndex, OverlapStage
from data_prep.overlap.texts import OverlapTexts


def overlap_stages() -> list[type[Stage]]:
    """The stages of this package, in order."""
    return [OverlapTexts, OverlapIndex, OverlapStage]


def hits(config: Prep, part: PartRef) -> np.ndarray:
    """bool [n]: documents of a part to remove from training; none where they are only reported."""
    if config.overlap.action == "report" or not OverlapIndex(config).tasks():
        return np.zeros(part.documents, bool)
    return np.array(load(OverlapStage(config).task_folder(part.id) / "hits.npy"))


def hit_keys(config: Prep) -> list[str]:
    """Of each part in order, a hash of its hits; it changes only with those."""
    if config.overlap.action == "report" or not OverlapIndex(config).tasks():
        return [""] * len(all_parts(config))
    return [receipt.counts["digest"] for receipt in OverlapStage(config).receipts()]


def report_rows(config: Prep) -> list[dict[str, Any]]:
    """Of each set: its name, the texts looked for (`texts`), those that some training document
    holds (`contaminated`), and the documents that hold one (`documents`).
    """
    if not OverlapIndex(config).tasks():
        return []
    index_stage, stage = OverlapIndex(config), OverlapStage(config)
    (receipt,) = index_stage.receipts()
    names = [entry["name"] for entry in receipt.counts["sets"]]
    sets = load(index_stage.task_folder(WHOLE) / "text_sets.npy")
    held = np.zeros(len(sets), bool)
    documents = np.zeros(len(names), np.int64)
    for task, found in zip(stage.tasks(), stage.receipts(), strict=True):
        held[load(stage.task_folder(task.id) / "contaminated.npy")] = True
        documents += np.array(found.counts["documents"], np.int64)
    contaminated = np.bincount(sets[held], minlength=len(names))
    return [
        {
            "name": entry["name"],
            "texts": entry["texts"],
            "contaminated": int(contaminated[number]),
            "documents": int(documents[number]),
        }
        for number, entry in enumerate(receipt.counts["sets"])
    ]
