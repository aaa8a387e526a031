"""`geo-nemo atlas`: models on the geographic benchmarks that are here."""

import sys
from functools import partial
from pathlib import Path

import click

from geo_nemo.cli.options import OVERRIDES, Config, DryRun, quiet_libraries
from geo_nemo.common.counts import plural

EPILOG = (
    "Example: geo-nemo atlas runs.ours=runs/demo/export runs.theirs=models/some-llm "
    "benchmarks=folder output=runs/atlas"
)


@click.command(epilog=EPILOG)
@OVERRIDES
@DryRun
@Config
def command(overrides: tuple[str, ...], dry_run: bool, config: str | None) -> None:
    """Ask models the questions of every geographic benchmark in a folder.

    benchmarks=DIR holds them as they were released, each a file or a folder: Global-MMLU,
    BLEnD, CulturalBench, INCLUDE, GeoMLAMA, GlobalOpinionQA, LocalNewsQA, a factbook; --dry-run
    says which are there and how the others would have to be named. Each question is asked told its
    country, told nothing, and as bare text. Settings: runs, benchmarks, output, only, conditions,
    num_questions, template, answers, rules, dev, shots, metadata, store, weights,
    bootstrap_samples, confidence, seed, device, dtype. Nothing is fetched.
    """
    quiet_libraries()
    from eval.atlas.config import AtlasConfig
    from eval.atlas.run import plan_atlas, run_atlas
    from eval.atlas.write import markdown, write_atlas
    from eval.scorers.load import load
    from geo_nemo.cli.outputs import output_folder
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.common.files import check_folder
    from geo_nemo.config.load import load_config

    settings = load_config(config or "atlas", AtlasConfig, overrides)
    plan = plan_atlas(settings)
    output = Path(settings.output)
    if dry_run:
        check_folder(output)
        for found in plan.found:
            if found.path is None:
                click.echo(f"{found.name}: not here; name it {' or '.join(found.files)}...")
            else:
                asked = plan.asked[found.name]
                number = int((~asked.for_choices).sum())
                click.echo(f"{found.name}: {plural(number, 'question')}")
        return
    with output_folder(output), progress_bar() as progress:
        loader = partial(load, config=settings.evaluation("factbook", "-"))
        result = run_atlas(plan, loader, progress, ("geo-nemo", *sys.argv[1:]))
        paths = write_atlas(result, output)
    click.echo(markdown(result))
    click.echo(paths[0])
