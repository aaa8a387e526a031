"""The plan of a run as tables, for `--dry-run`."""

from rich.console import Console
from rich.table import Table

from geo_nemo.model.layout import check_layout
from geo_nemo.train.plan import StageOutline, memory, outline_stages
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
    outlines = outline_stages(prepared)
    for stage in outlines:
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
    for stage in outlines:
        console.print(_rows(stage))
        console.print(_groups(stage))

    sizes = Table(title="Sizes", title_justify="left", show_header=False)
    sizes.add_column()
    sizes.add_column(justify="right")
    tokens = run.train.global_batch_size * run.data.seq_length
    layout = check_layout(run, prepared.tokenizer.vocab_size, world_size)
    need = memory(prepared, world_size)
    sizes.add_row("parameters", f"{prepared.parameters:,}")
    sizes.add_row("tokens a step", f"{tokens:,}")
    sizes.add_row("tokens in all", f"{tokens * run.train.steps:,}")
    sizes.add_row("processes", f"{world_size}")
    for row in layout.rows():
        sizes.add_row(*row)
    for name in ("weights", "gradients", "optimizer", "activations", "total"):
        label = f"memory a rank, {name}" + (" (estimate)" if name == "activations" else "")
        sizes.add_row(label, _bytes(getattr(need, name)))
    console.print(sizes)


def _rows(stage: StageOutline) -> Table:
    found = stage.statistics
    table = Table(title=f"Stage {stage.name}: rows, estimated", title_justify="left")
    values = {
        "documents a row": f"{found.documents_per_row:.2f}",
        "padding": f"{1 - found.fill:.2%}",
        "documents cut": f"{found.cut_share:.2%}",
        "text without its document's start": f"{found.later_share:.2%}",
        "metadata": f"{found.metadata_share:.2%}",
    }
    for name in values:
        table.add_column(name, justify="right")
    table.add_row(*values.values())
    return table


def _groups(stage: StageOutline) -> Table:
    table = Table(title=f"Stage {stage.name}: by {stage.by}", title_justify="left")
    table.add_column(stage.by)
    for name in ("documents", "text tokens", "share drawn", "epochs, about"):
        table.add_column(name, justify="right")
    for group in sorted(stage.groups, key=lambda group: (-round(group.share, 9), group.name)):
        table.add_row(
            group.name,
            f"{group.documents:,}",
            f"{group.tokens:,}",
            f"{group.share:.2%}",
            f"{group.epochs:.2f}",
        )
    return table


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"
