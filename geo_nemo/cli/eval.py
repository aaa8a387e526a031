"""`geo-nemo eval`: the perplexity matrix of trained runs, and their answers to questions."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from geo_nemo.cli.options import OVERRIDES, Config, DryRun, quiet_libraries
from geo_nemo.cli.progress import fetch_bar
from geo_nemo.common.addresses import is_remote
from geo_nemo.common.counts import plural
from geo_nemo.common.files import check_folder

if TYPE_CHECKING:
    from eval.config import EvalConfig
    from eval.plan import Plan

EPILOG = (
    "Example: geo-nemo eval runs.with=runs/a runs.without=runs/b store=runs/store output=runs/eval"
)


@click.command(epilog=EPILOG)
@OVERRIDES
@DryRun
@Config
def command(overrides: tuple[str, ...], dry_run: bool, config: str | None) -> None:
    """Score test documents and questions with, without and with wrong metadata.

    runs.NAME=DIR, any number of them: a training run (RUN@200 at a step, RUN@all at each), an
    export, any causal language model's folder, an adapter. store or corpus, and output are needed;
    recipes/eval.yaml names every other setting, docs/evaluation.md explains them.
    Stopped and started again, it goes on with the conditions that are not finished.
    """
    from eval.config import EvalConfig
    from eval.plan import make_plan
    from geo_nemo.config.load import load_config

    settings = load_config(config or "eval", EvalConfig, overrides)
    if settings.store and is_remote(settings.store):
        from geo_nemo.store.remote import fetch_store

        with fetch_bar(settings.store) as fetching:
            fetch_store(settings.store, settings.cache_dir, fetching)
    if dry_run:
        check_folder(Path(settings.output))
        for topic, line in _describe(make_plan(settings)).items():
            click.echo(f"{topic}: {line}")
        return
    evaluate(settings)


def evaluate(config: "EvalConfig") -> None:
    """Evaluate, and print the matrix and where the figures are."""
    quiet_libraries()
    from eval.plan import make_plan
    from eval.report import console as shown
    from eval.runner import evaluate as run
    from eval.scorers.load import load
    from geo_nemo.cli.outputs import output_folder
    from geo_nemo.cli.progress import progress_bar

    # A mistake in the settings is found before there is a folder.
    plan = make_plan(config)
    output = Path(config.output)
    with output_folder(output), progress_bar() as progress:
        loader = partial(load, config=config)
        result = run(config, loader, progress, ["geo-nemo", *sys.argv[1:]], plan)
    console = Console(highlight=False)
    console.print(shown.matrix(result))
    missing = result["documents"]["countries_without_documents"]
    if missing:
        number = plural(len(missing), "country", "countries")
        console.print(f"no test document of {number}: {', '.join(missing)}")
    documents = result["documents"]
    if documents["overlap_not_known"]:
        names = ", ".join(documents["overlap_not_known"])
        console.print(f"not looked up: whether these documents were trained on ({names})")
    if documents["repeated"]:
        said = plural(documents["repeated"], "document repeats", "documents repeat")
        console.print(f"{said} the text of another one")
    if untold := (result["questions"] or {}).get("untold"):
        said = plural(untold, "question names", "questions name")
        console.print(f"{said} no place: told nothing in every condition")
    for what, skipped in (
        ("document", result["documents"]["skipped"]),
        ("question", (result["questions"] or {}).get("skipped", {})),
    ):
        for reason, count in skipped.items():
            console.print(f"{plural(count, what)} left out: {reason}", markup=False)
    click.echo(Path(config.output) / "eval.json")


def _describe(plan: "Plan") -> dict[str, str]:
    """What would be scored, and what is finished already."""
    from eval.cache import Cache
    from eval.cells import finished

    documents, config = plan.documents, plan.config
    tokens = int(documents.tokens.sum())
    conditions = len(config.document_conditions) * len(plan.models)
    done = finished(plan, Cache(Path(config.output) / "cache"))
    asked = plan.questions
    return {
        "runs": ", ".join(
            f"{model.name} ({model.checkpoint} of {model.folder}, "
            f"{'with' if model.conditioned else 'without'} metadata)"
            for model in plan.models.values()
        ),
        "conditions": ", ".join(config.conditions),
        "documents": f"{len(documents):,} of {plan.items.num_documents:,} in split "
        f"{plan.items.name} of {plan.texts.address}, {tokens:,} tokens scored in each condition",
        "questions": "none"
        if asked is None
        else f"{len(asked.questions):,}, of which {int(plan.for_choices.sum()):,} for choices",
        "forward passes": f"{tokens * conditions:,} scored tokens in "
        f"{plural(conditions, 'condition')}, {len(done)} finished",
        "output": config.output,
    }
