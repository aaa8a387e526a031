"""`geo-nemo learn-weights`: a proxy run learns how often each country should be drawn."""

from pathlib import Path

import click

from geo_nemo.cli.options import OVERRIDES, DiskPath, check_own_folder, quiet_libraries
from geo_nemo.common.counts import plural

LEAST_WEIGHT = 1e-6
EPILOG = (
    "Example: geo-nemo learn-weights experiment=demo data.store=S output_dir=runs/proxy "
    "--by country --out ours/sampling/learnt.yaml\n\n"
    "Then: geo-nemo train --recipes ours sampling@stages.condition.sampling=learnt ..."
)


@click.command(epilog=EPILOG)
@OVERRIDES
@click.option("--by", default="country", show_default=True, help="Field whose values are weighed.")
@click.option("--mu", type=click.FloatRange(0, min_open=True), default=0.05, show_default=True,
              help="The larger, the slower weights move.")  # fmt: skip
@click.option(
    "--out",
    required=True,
    type=DiskPath(),
    metavar="FILE",
    help="A recipe of the group sampling that is written.",
)
def command(overrides: tuple[str, ...], by: str, mu: float, out: str) -> None:
    """Learn domain weights by the alignment of gradients (DoGE), and write a sampling recipe.

    Settings are those of geo-nemo train, of the proxy: a small model, whose first stage is trained
    in this process, for its part of train.steps. A group whose gradient helps the others gains
    weight; the recipe has the mean over the steps. Every group of the stage must be in it.
    """
    quiet_libraries()
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.common.files import make_folder, write_whole
    from geo_nemo.config import Run, UserError
    from geo_nemo.config.load import load_config
    from geo_nemo.config.stage_bounds import stage_borders
    from geo_nemo.config.whole import as_yaml

    path = Path(out)
    if path.suffix != ".yaml" or path.parent.name != "sampling":
        raise UserError(f"--out {out}: a recipe is FOLDER/sampling/NAME.yaml")
    if path.exists():
        raise UserError(f"{out} is there already: remove it, or give another --out")
    run = load_config("train", Run, (*overrides, f"groups=[{by}]"))
    if len(run.groups) > 1:
        raise UserError(f"--by {by}: weights are of the values of one field: give one of these")
    make_folder(path.parent)  # what refuses it is told before the steps, not after them
    check_own_folder(out, "--out")
    with progress_bar("steps") as progress:
        from geo_nemo.train.proxy import learnt_weights

        weights = learnt_weights(run, mu, progress)
    # A sampling takes no weight of 0.
    learnt = {name: max(round(weight, 6), LEAST_WEIGHT) for name, weight in weights.items()}
    recipe = as_yaml({"by": by, "weights": learnt})
    steps = plural(stage_borders(run)[1], "step")
    told = f"# Learnt by gradient alignment (DoGE) in {steps} of {run.name}.\n"
    write_whole(path, (told + recipe).encode())
    for name, weight in sorted(weights.items(), key=lambda pair: -pair[1]):
        click.echo(f"{name:>12}  {weight:.4f}")
    click.echo(out)
