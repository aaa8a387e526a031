"""`geo-nemo select-tokens`: which tokens of a store are worth training on, by a reference model."""

from pathlib import Path

import click

from geo_nemo.cli.options import DiskPath, quiet_libraries
from geo_nemo.common.errors import as_typed

EPILOG = (
    "Example: geo-nemo select-tokens runs/news/store --model runs/start --reference runs/good "
    "--keep 0.6 --out runs/news/tokens\n\n"
    "Then: geo-nemo train ... stages.condition.token_selection=runs/news/tokens"
)
# What geo-nemo eval calls them, which reads the models.
_OPTIONS = {
    "runs.model=": "--model ", "runs.reference=": "--reference ", "runs.model": "--model",
    "runs.reference": "--reference", "device=": "--device ",
}  # fmt: skip


@click.command(epilog=EPILOG)
@click.argument("store")
@click.option("--model", required=True, help="What is to be trained: a run, run@step or an export.")
@click.option("--reference", required=True, help="A model of the same tokenizer, better already.")
@click.option("--keep", type=click.FloatRange(0, 1, min_open=True), default=0.6, show_default=True,
              help="Share of each document's tokens that is trained.")  # fmt: skip
@click.option("--split", default="train", show_default=True)
@click.option(
    "--out",
    required=True,
    type=DiskPath(),
    metavar="FOLDER",
    help="Folder that receives a bit a token.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto")
@as_typed(_OPTIONS)
def command(
    store: str, model: str, reference: str, keep: float, split: str, out: str, device: str
) -> None:
    """Keep the top share of each document's tokens by excess loss over a reference (Rho-1).

    Both models score the texts of the store, told nothing, in the template that --model was
    trained under. The excess is the loss of --model, the
    weights that a training begins with, less that of --reference. Tokens that are left out are
    read and not trained, by stages.NAME.token_selection=OUT.
    """
    quiet_libraries()
    from eval.config import EvalConfig
    from eval.models import read_models
    from eval.scorers.load import load
    from eval.token_selection import about, selected, untold
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.common.folders import building
    from geo_nemo.config import UserError
    from geo_nemo.data.token_selection import write_selection
    from geo_nemo.store import TokenStore

    if Path(out).exists():
        raise UserError(f"{out} is there already: remove it, or give another --out")
    runs = {"model": model, "reference": reference}
    models = read_models(runs)
    if len(models) != len(runs):
        raise UserError("--model and --reference are one model each: give a step, as RUN@200")
    opened = TokenStore.open(store)
    tokenizer = opened.tokenizer()
    for name, each in models.items():
        if each.tokenizer_sha256 != tokenizer.sha256:
            raise UserError(
                f"--{name} {each.folder} has another tokenizer than {store}: its token ids mean "
                "other words; give a model that was trained with the store's"
            )
    config = EvalConfig(runs=runs, store=store, output=out, device=device)
    scorers = {name: load(each, config) for name, each in models.items()}
    with building(Path(out)) as partial, progress_bar("documents") as progress:
        kept = selected(
            scorers["model"],
            scorers["reference"],
            opened.split(split),
            tokenizer,
            keep,
            progress,
            untold(models["model"]),
        )
        how = about(models["model"], models["reference"], keep)
        tokens, trained = write_selection(partial, kept, split, opened.hash, how)
    click.echo(f"{out}: {trained:,} of {tokens:,} tokens are trained")
