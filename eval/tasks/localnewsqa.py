"""Documents of the task `localnewsqa`: read, checked and put in order as `geo-nemo eval` does."""

from typing import Any

from eval.tasks.atlas import SEED
from eval.tasks.atlas import documents as of_benchmark


def documents(file: str = "localnewsqa.parquet", seed: int = SEED, **_: Any) -> dict[str, Any]:
    """The split `test`, of a file in the released schema; as a `datasets.Dataset`."""
    return of_benchmark("localnewsqa", file, seed)
