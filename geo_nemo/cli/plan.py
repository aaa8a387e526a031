"""The plan of a run as tables, for `--dry-run`."""

from rich.console import Console
from rich.table import Table

from geo_nemo.train.plan import memory, outline_stages
from geo_nemo.train.setup import Prepared


def print_plan(prepared: Prepared, world_size: int) -> None:
    """Print stages, sizes and memory of a run that would start with `world_size` processes."""
    run = prepared.run
    console = Console()
    stages = Table(title=f"Plan of {run.name}: stages", title_justify="left")
    for name, justify in (
        ("stage", "left"),
        ("metadata", "left"),
        ("policy", "left"),
        ("steps", "right"),
        ("tokens", "right"),
        ("documents", "right"),
        ("epochs, about", "right"),
    ):
        stages.add_column(name, justify=justify)
    for stage in outline_stages(prepared):
        stages.add_row(
            stage.name,
            ", ".join(stage.fields) or "none",
            stage.policy_hash,
            f"{stage.steps:,}",
            f"{stage.tokens:,}",
            f"{stage.documents:,}",
            f"{stage.epochs:.2f}",
        )
    console.print(stages)

    sizes = Table(title="Sizes", title_justify="left", show_header=False)
    sizes.add_column()
    sizes.add_column(justify="right")
    tokens = run.train.global_batch_size * run.data.seq_length
    parallel = run.parallel
    data_parallel = world_size // parallel.model_parallel_size
    need = memory(prepared, world_size)
    sizes.add_row("parameters", f"{prepared.parameters:,}")
    sizes.add_row("tokens a step", f"{tokens:,}")
    sizes.add_row("tokens in all", f"{tokens * run.train.steps:,}")
    sizes.add_row("processes", f"{world_size}")
    sizes.add_row(
        "tensor x pipeline x data", f"{parallel.tensor} x {parallel.pipeline} x {data_parallel}"
    )
    for name in ("weights", "gradients", "optimizer", "activations", "total"):
        label = f"memory a rank, {name}" + (" (estimate)" if name == "activations" else "")
        sizes.add_row(label, _bytes(getattr(need, name)))
    console.print(sizes)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"
