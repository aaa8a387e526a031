"""Documents of the task `localnewsqa`: read, checked and put in order as `geo-nemo eval` does."""

from pathlib import Path
from typing import Any

from eval.question_files import read_questions

SEED = 1234


def documents(file: str = "localnewsqa.parquet", seed: int = SEED, **_: Any) -> dict[str, Any]:
    """The split `test`, of a file in the released schema; as a `datasets.Dataset`."""
    from datasets import Dataset  # comes with lm-evaluation-harness

    found = read_questions(Path(file), int(seed))
    rows = []
    for question, order in zip(found.questions, found.orders, strict=True):
        rows.append({
            "id": question.id, "question": question.prompt, "country": question.country,
            "kind": question.kind, "options": [question.options[n] for n in order],
            "answer": int(list(order).index(question.answer)),
        })  # fmt: skip
    return {"test": Dataset.from_list(rows)}
