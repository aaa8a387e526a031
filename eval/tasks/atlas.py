"""Documents of the tasks `atlas_*`: a benchmark's questions as `geo-nemo atlas` asks them."""

from functools import partial
from pathlib import Path
from typing import Any

from eval.kinds import TASKS
from eval.question_files import questions_of

SEED = 1234


def documents(name: str, file: str = "", seed: int = SEED, **_: Any) -> dict[str, Any]:
    """The split `test` of a benchmark's file or folder; as a `datasets.Dataset`."""
    from datasets import Dataset  # comes with lm-evaluation-harness

    path = Path(file or name)
    found = questions_of(TASKS.make(name, "tasks", path).rows(), str(path), int(seed))
    rows = []
    for question, order in zip(found.questions, found.orders, strict=True):
        rows.append({
            "id": question.id, "question": question.prompt, "country": question.country,
            "kind": question.kind, "options": [question.options[n] for n in order],
            "answer": int(list(order).index(question.answer)),
        })  # fmt: skip
    return {"test": Dataset.from_list(rows)}


global_mmlu = partial(documents, "global_mmlu")
blend = partial(documents, "blend")
culturalbench = partial(documents, "culturalbench")
include = partial(documents, "include")
geomlama = partial(documents, "geomlama")
globalopinionqa = partial(documents, "globalopinionqa")
factbook = partial(documents, "factbook")


def sensitive(documents):
    """Of Global-MMLU, what is culturally sensitive."""
    return documents.filter(lambda row: row["kind"] == "culturally sensitive")


def agnostic(documents):
    """Of Global-MMLU, what is not."""
    return documents.filter(lambda row: row["kind"] == "culturally agnostic")
