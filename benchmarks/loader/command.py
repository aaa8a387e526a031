"""`python -m benchmarks loader`: which metrics there are, and their options."""

from pathlib import Path

import click

from benchmarks import calling
from benchmarks.loader.setting import Setting
from geo_nemo.common.errors import UserError

# Metric to the module that measures it.
METRICS = {
    "tokens_per_second": "speed", "index_build": "index", "peak_memory": "index",
    "policy_rows": "policies", "policy_index": "policies",
}  # fmt: skip


@click.command(epilog="Example: python -m benchmarks loader --quick --json loader.json")
@calling.options(METRICS, "Small stores, two rounds: about a minute.")
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="An older checkout, beside which rows by policy are measured.",
)
@click.option("--large", is_flag=True, help="Indices of 1 and 10 million documents.")
def command(
    quick: bool,
    large: bool,
    beside: Path | None,
    json_path: Path | None,
    only: tuple[str, ...],
    rounds: int | None,
    work: Path | None,
) -> None:
    """Packed rows: speed beside Megatron-Core's dataset, time and memory of the index."""
    if quick and large:
        raise UserError("--quick and --large exclude each other: give one of them")
    with calling.working_folder(work) as folder:
        setting = Setting(folder, quick, large, calling.default_rounds(rounds, quick), beside)
        rows = calling.measure("benchmarks.loader", METRICS, only, setting)
    calling.tell(rows, json_path)
