"""Configs of the preparations that are measured."""

from collections.abc import Sequence
from pathlib import Path

from data_prep.config import Dedup, Execution, Limits, Near, Prep, Splits, TokenizerChoice


def store_config(
    inputs: Sequence[Path],
    output: Path,
    tokenizer: Path,
    workers: int = 1,
    near: bool = False,
    task_bytes: int = 256_000_000,
) -> Prep:
    """JSONL to a store: no corpus is written, exact duplicates are dropped."""
    return Prep(
        input=tuple({"path": str(path)} for path in inputs),
        output=str(output),
        limits=Limits(task_bytes=task_bytes),
        dedup=Dedup(near=Near(action="drop" if near else "none")),
        splits=Splits(train=0.98, validation=0.01, test=0.01),
        tokenizer=TokenizerChoice(path=str(tokenizer)),
        corpus="none",
        execution=Execution(workers=workers),
    )
