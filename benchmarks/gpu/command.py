"""`python -m benchmarks gpu`: which models and rows are timed, on one GPU."""

from pathlib import Path

import click

from benchmarks import calling
from benchmarks.gpu.cases import LENGTHS, MODELS, SWEEP
from benchmarks.gpu.figures import rows_of
from geo_nemo.common.errors import UserError


def require_gpu() -> None:
    """`UserError` in one line where torch sees no GPU."""
    import torch

    if not torch.cuda.is_available():
        raise UserError(
            "the benchmark gpu needs a GPU, and torch sees none here; "
            "python -m benchmarks train_step measures on a CPU"
        )


@click.command(epilog="Example: python -m benchmarks gpu --quick --json gpu.json")
@click.option("--quick", is_flag=True, help="1b at 2,048 tokens alone, one micro-batch.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rows here too.",
)  # fmt: skip
@click.option("--model", "models", multiple=True, type=click.Choice(MODELS), help="This alone.")
@click.option("--length", "lengths", multiple=True, type=int, help="Rows of this many tokens.")
def command(
    quick: bool, json_path: Path | None, models: tuple[str, ...], lengths: tuple[int, ...]
) -> None:
    """Training on one GPU: speed, MFU, memory, parts of a step; BF16, FP8, and two peers."""
    require_gpu()
    if quick:
        coming = rows_of(("1b",), (2048,), (8192,))
    else:
        coming = rows_of(models or MODELS, lengths or LENGTHS, SWEEP)
    calling.tell(calling.kept(coming, json_path), json_path)
