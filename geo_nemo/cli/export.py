"""`geo-nemo export`: a trained model as a Hugging Face folder."""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geo_nemo.cli.options import DiskPath, DryRun, quiet_libraries
from geo_nemo.cli.progress import progress_bar
from geo_nemo.common.counts import plural
from geo_nemo.common.files import check_folder, writing
from geo_nemo.config import UserError

if TYPE_CHECKING:
    from geo_nemo.export.card import About
    from geo_nemo.export.source import Source

EPILOG = "Example: geo-nemo export runs/a --out runs/a-hf"


@click.command(epilog=EPILOG)
@click.argument("run", metavar="RUN")
@click.option("--out", required=True, metavar="FOLDER", type=DiskPath())
@click.option(
    "--weights",
    type=click.Choice(("trained", "average")),
    default="trained",
    show_default=True,
    help="Those of the last step, or their average.",
)
@click.option(
    "--dtype",
    type=click.Choice(("auto", "bf16", "fp32")),
    default="auto",
    show_default=True,
    help="auto: fp32 where the run was in fp32, else bf16.",
)
@click.option(
    "--tokenizer",
    metavar="STORE|FILE",
    help="Where the run's tokenizer is, if not in its store any more.",
)
@click.option(
    "--evaluation",
    metavar="FOLDER",
    help="Of geo-nemo eval; its figures for this run go into the model card.",
)
@click.option("--licence", metavar="NAME", help="For the model card, as apache-2.0.")
@DryRun
def command(
    run: str,
    out: str,
    weights: str,
    dtype: str,
    tokenizer: str | None,
    evaluation: str | None,
    licence: str | None,
    dry_run: bool,
) -> None:
    """Write a trained model as a Hugging Face folder: safetensors, config, tokenizer, README.

    Its chat template takes metadata, and writes what training read.

    RUN is a run's output_dir, whose newest checkpoint is taken, or one checkpoint's folder, also on
    s3://. The model is a Llama for transformers, and for what reads its folders. Stopped and
    started again, it goes on behind the files that are whole.
    """
    quiet_libraries()
    from geo_nemo.export.card import About
    from geo_nemo.export.card_parts import check_evaluation, read_evaluation
    from geo_nemo.export.hugging_face import export
    from geo_nemo.export.place import check_out
    from geo_nemo.export.plan import Plan
    from geo_nemo.export.settings import training_record
    from geo_nemo.export.source import check_weights, find_source

    if licence is not None and not re.fullmatch(r"[A-Za-z0-9.+-]+", licence):
        raise UserError(f"--licence {licence!r}: give its name in one word, as apache-2.0")
    for name, value in (("tokenizer", tokenizer), ("evaluation", evaluation)):
        if value == "":
            raise UserError(f"--{name} is empty: give it a value, or leave it out")
    with writing(Path(out)):
        folder = Path(out).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        source = find_source(run, tokenizer, Path(scratch))
        check_weights(source, weights)
        about = About(read_evaluation(Path(evaluation)) if evaluation else None, licence)
        if about.evaluation is not None:
            check_evaluation(about.evaluation, source, weights)
        if dtype == "auto":
            dtype = source.run.precision.dtype
        check_folder(folder)
        plan = Plan(source.run.model, source.vocab_size, dtype)
        if check_out(folder, training_record(source, dtype, weights)):
            _check_card(folder, source, about)
        if dry_run:
            click.echo(f"model: {source.place}, {plan.parameters:,} parameters")
            click.echo(f"weights: {weights}, {dtype}, {plan.bytes:,} bytes")
            tokens = source.vocab_size
            click.echo(f"tokenizer: {source.tokenizer.kind}, {tokens:,} tokens")
            click.echo(f"output: {out}")
            return
        with progress_bar("bytes") as progress:
            done = export(source, folder, dtype, weights, progress, about)
    there = "is there already" if done.was_there else "written"
    click.echo(
        f"{source.run.name}, step {source.step:,}: {plan.parameters:,} parameters, {dtype}, "
        f"{plan.bytes / 1e6:,.1f} MB in {plural(len(plan.files()), 'file')}, {there}"
    )
    if not done.has_tokenizer_json:
        click.echo(
            "no tokenizer.json, whose ids would differ: the tokenizer is there in its own form"
        )
    if done.note:
        click.echo(done.note)
    click.echo(out)


def _check_card(folder: Path, source: "Source", about: "About") -> None:
    """Raise `UserError` where an export that is there lacks what its card is to say."""
    from geo_nemo.export.card import unsaid

    try:
        text = (folder / "README.md").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    if option := unsaid(text, source, about):
        raise UserError(
            f"{folder} is there already, and its README.md does not say what {option} gives: "
            "remove it, or give another --out"
        )
