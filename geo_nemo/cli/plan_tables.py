"""A plan as tables for people; geo_nemo.train.plan makes it."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geo_nemo.cli.units import duration, size_text
from geo_nemo.data.outline import GroupOutline
from geo_nemo.train.plan import GIB, Plan, Replayed, StageLine

MEMORY_NAMES = {
    "weights": "weights",
    "gradients": "gradients, fp32",
    "optimizer": "optimizer",
    "average": "average of the weights",
    "activations": "activations (estimate)",
    "loss": "logits and loss (estimate)",
    "weight_gradient": "gradient of the largest weight",
}


def print_plan(plan: Plan) -> None:
    """Print stages, documents by country, sizes, memory and time."""
    console = Console(highlight=False)
    console.print(_stages(plan))
    for stage in plan.stages:
        if stage.replayed is not None:
            console.print(_replayed(stage.name, stage.replayed))
        if stage.statistics is not None:
            console.print(_sequences(stage))
            console.print(_groups(stage, "country", stage.countries))
            for field, groups in ({stage.by: stage.groups} | stage.others).items():
                if field != "country":
                    console.print(_groups(stage, field, groups))
    console.print(_values("Sizes", _sizes(plan)))
    console.print(_values(_memory_title(plan), _memory(plan)))
    console.print(_values("Checkpoints", _checkpoints(plan)))
    console.print(_values("Work and time", _work(plan)))


def _stages(plan: Plan) -> Table:
    table = Table(title=f"Plan of {plan.name}: stages", title_justify="left")
    for name in ("stage", "metadata", "policy"):
        table.add_column(name)
    for name in ("steps", "tokens", "documents", "epochs, about"):
        table.add_column(name, justify="right")
    for stage in plan.stages:
        table.add_row(
            stage.name,
            ", ".join(stage.fields) or "none",
            stage.policy_hash,
            f"{stage.steps:,}",
            f"{stage.tokens:,}",
            "no store" if stage.documents is None else f"{stage.documents:,}",
            "no store" if stage.epochs is None else f"{stage.epochs:.2f}",
        )
    return table


def _replayed(stage: str, replayed: Replayed) -> str:
    fraction = replayed.sequences / replayed.samples
    return (
        f"Stage {stage} replays {replayed.sequences:,} of its {replayed.samples:,} sequences "
        f"({fraction:.1%}) from {' and '.join(replayed.of)}; what follows is of the others"
    )


def _sequences(stage: StageLine) -> Table:
    found = stage.statistics
    table = Table(title=f"Stage {stage.name}: sequences, estimated", title_justify="left")
    values = {
        "documents a sequence": f"{found.documents_per_sequence:.2f}",
        "padding": f"{1 - found.fill:.2%}",
        "documents cut": f"{found.cut_fraction:.2%}",
        "text without its document's start": f"{found.later_fraction:.2%}",
        "metadata": f"{found.metadata_fraction:.2%}",
    }
    for name in values:
        table.add_column(name, justify="right")
    table.add_row(*values.values())
    return table


def _groups(stage: StageLine, by: str, groups: tuple[GroupOutline, ...]) -> Table:
    table = Table(title=f"Stage {stage.name}: by {by}", title_justify="left")
    table.add_column(by)
    for name in ("documents", "text tokens", "tokens drawn", "share drawn", "epochs, about"):
        table.add_column(name, justify="right")
    for group in sorted(groups, key=lambda group: (-round(group.fraction, 9), group.name)):
        table.add_row(
            escape(group.name),
            f"{group.documents:,}",
            f"{group.tokens:,}",
            f"{group.drawn_tokens:,}",
            f"{group.fraction:.2%}",
            f"{group.epochs:.2f}",
        )
    return table


def _values(title: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _sizes(plan: Plan) -> list[tuple[str, str]]:
    rows = [("parameters", f"{plan.parameters:,}"), ("vocabulary", f"{plan.vocab_size:,}")]
    if plan.padded_parameters != plan.parameters:
        rows.append(("parameters, vocabulary padded", f"{plan.padded_parameters:,}"))
    rows += [
        ("steps", f"{plan.steps:,}"),
        ("tokens a step", f"{plan.tokens_per_step:,}"),
        ("tokens in all", f"{plan.tokens:,}"),
        ("processes, a GPU each", f"{plan.gpus:,}"),
    ]
    rows += plan.layout.rows()
    parallel = plan.layout.parallel
    if parallel.recompute != "none":
        of_all = "every layer"
        modules = " and ".join(parallel.recompute_modules)
        again = of_all if parallel.recompute == "full" else f"{modules} of {of_all}"
        rows.append(("computed again for gradients", again))
    return rows


def _memory_title(plan: Plan) -> str:
    if plan.layout.parallel.pipeline == 1:
        return "Memory a rank"
    return f"Memory a rank of pipeline stage {plan.memory.pipeline_rank}, which needs most"


def _memory(plan: Plan) -> list[tuple[str, str]]:
    sizes = ((label, getattr(plan.memory, name)) for name, label in MEMORY_NAMES.items())
    rows = [(label, size_text(size)) for label, size in sizes if size]
    rows.append(("total", size_text(plan.memory_total)))
    if plan.chip_bytes is not None:
        fraction = plan.memory_total / plan.chip_bytes
        rows.append((f"of {plan.chip_bytes / GIB:.0f} GiB of the {plan.chip}", f"{fraction:.1%}"))
    return rows


def _checkpoints(plan: Plan) -> list[tuple[str, str]]:
    size = plan.checkpoint
    return [
        ("weights alone", size_text(size.weights)),
        ("with optimizer", size_text(size.total)),
        (f"{plan.kept_checkpoints} kept", size_text(plan.kept_checkpoints * size.total)),
    ]


def _work(plan: Plan) -> list[tuple[str, str]]:
    documents = "real sequences" if plan.store else "a sequence as one document"
    rows = [
        (f"FLOPs a token ({documents})", f"{plan.flops_per_token:.4g}"),
        ("FLOPs in all", f"{plan.flops:.4g}"),
    ]
    time = plan.time
    if time is None:
        why = "the chip's peak is not known for this precision: geo-nemo plan ... --tflops N"
        return [*rows, ("time", why if plan.chip else "not foreseen on a CPU: geo-nemo plan")]
    peak = f"{time.peak_tflops:,.4g} TFLOPS" + (f" of the {time.chip}" if time.chip else "")
    return [
        *rows,
        ("assumed", f"MFU {time.mfu:.0%} of {peak}"),
        ("tokens a second", f"{time.tokens_per_second:,.0f}"),
        ("a step", duration(time.seconds_per_step)),
        ("the run", duration(time.seconds)),
        ("GPU hours", f"{time.gpu_hours:,.1f}"),
    ]
