"""`geo-nemo tune`: tune an export on instructions, with metadata in the turn."""

import click

from geo_nemo.cli.codes import STOPPED
from geo_nemo.cli.options import OVERRIDES, Config, DryRun, quiet_libraries
from geo_nemo.common.log import logger

LOG = logger(__name__)
EPILOG = (
    "Example: geo-nemo tune runs/demo/export data=runs/demo/corpus/instructions.jsonl "
    "output=runs/tuned"
)


@click.command(epilog=EPILOG)
@click.argument("model", metavar="MODEL")
@OVERRIDES
@Config
@click.option(
    "--show",
    default=3,
    type=click.IntRange(0),
    show_default=True,
    help="Conversations to show in colour.",
)
@DryRun
def command(
    model: str, overrides: tuple[str, ...], config: str | None, show: int, dry_run: bool
) -> int:
    """Tune MODEL, a Hugging Face folder, on JSONL of instructions or conversations.

    Settings: data, output, method (lora, full), lora.rank, told.none, told.country, lr, epochs,
    packing ...; tuning=localization is the paper's recipe. Under torchrun or accelerate launch
    several processes share each step. Stopped, by Ctrl-C, SIGTERM or SIGUSR1, it saves and exits
    with 75; the same command goes on.
    """
    quiet_libraries()
    from importlib.util import find_spec

    from rich.console import Console

    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.config import UserError
    from geo_nemo.config.tune import load_tune
    from geo_nemo.runtime.launcher import adopt_slurm_step, rank

    adopt_slurm_step()
    settings = load_tune(config or "tune", model, overrides)
    if find_spec("trl") is None or find_spec("peft") is None:
        raise UserError("tune needs TRL and PEFT: pip install 'geo-nemo[tune]'")
    from geo_nemo.tune.run import Tuning
    from geo_nemo.tune.show import show as show_conversations
    from geo_nemo.tune.train import Stopped

    is_first = rank() == 0
    with progress_bar() as progress:
        tuning = Tuning(settings, progress)
    if is_first:
        show_conversations(Console(highlight=False), tuning.encoded, tuning.tokenizer, show)
    if tuning.is_done:
        tuning.check_done()
        if is_first:
            click.echo(f"{settings.output} is there already")
        return 0
    if dry_run:
        tuning.check()
        return 0
    with progress_bar() as progress:
        record = tuning.run(progress)
    if isinstance(record, Stopped):
        if is_first:
            LOG.info(
                f"stopped by {record.reason} at step {record.step} of {record.steps}; saved. The "
                "same command goes on from there"
            )
        return STOPPED
    if is_first:
        trained = record["trained"]
        losses = trained["losses"]
        last = f", loss {losses[0]:.3f} to {losses[-1]:.3f}" if losses else ""
        click.echo(f"{trained['steps']:,} steps over {trained['sequences']:,} sequences{last}")
        click.echo(settings.output)
    return 0
