"""`python -m benchmarks train_step`: which metrics there are, and their options."""

from pathlib import Path

import click

from benchmarks import calling
from benchmarks.train_step.setting import Setting

# Metric to the module that measures it.
METRICS = {"async_save_stall": "async_save", "step_vs_hf": "step_vs_hf"}


@click.command(epilog="Example: python -m benchmarks train_step --quick --json train_step.json")
@calling.options(METRICS, "Small models, two rounds: about a minute.")
def command(
    quick: bool,
    json_path: Path | None,
    only: tuple[str, ...],
    rounds: int | None,
    work: Path | None,
) -> None:
    """Training: the cost of a save, and the train step beside Hugging Face's on a CPU."""
    with calling.working_folder(work) as folder:
        setting = Setting(folder, quick, calling.default_rounds(rounds, quick))
        rows = calling.measure("benchmarks.train_step", METRICS, only, setting)
    calling.tell(rows, json_path)
