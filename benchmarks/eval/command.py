"""`python -m benchmarks eval`: which metrics there are, and their options."""

from pathlib import Path

import click

from benchmarks import calling
from benchmarks.eval.setting import Setting

# Metric to the module that measures it.
METRICS = {"documents_per_second": "documents", "questions_per_second": "questions"}


@click.command(epilog="Example: python -m benchmarks eval --quick --json eval.json")
@calling.options(METRICS, "The small model alone, few texts, two rounds: about a minute.")
def command(
    quick: bool,
    json_path: Path | None,
    only: tuple[str, ...],
    rounds: int | None,
    work: Path | None,
) -> None:
    """Evaluation: documents beside plain transformers, questions beside lm-evaluation-harness."""
    with calling.working_folder(work) as folder:
        setting = Setting(folder, quick, calling.default_rounds(rounds, quick))
        rows = calling.measure("benchmarks.eval", METRICS, only, setting)
    calling.tell(rows, json_path)
