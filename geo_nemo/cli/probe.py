"""`geo-nemo probe`: what hidden states and losses tell of places, hosts and training texts."""

import sys
from pathlib import Path

import click

from geo_nemo.cli.options import OVERRIDES, Config, quiet_libraries

EPILOG = (
    "Example: geo-nemo probe runs.ours=runs/demo/export store=runs/demo/prep/store "
    "output=runs/probe"
)


@click.command(epilog=EPILOG)
@OVERRIDES
@Config
def command(overrides: tuple[str, ...], config: str | None) -> None:
    """Look for countries in hosts and hidden states, and for training texts in losses.

    hosts: how much of the country a host's characters tell. layers: linear probes of each layer for
    fields=[country,continent]. regions: where a continent's documents lie among the others.
    membership: whether losses tell training documents apart, told the host or nothing. extraction:
    bodies that go on word for word. order: whether benchmark=FILE was read in its order.
    only=[layers] does one. Layers and extraction are read of models of transformers: a run is
    exported for them into output/exports, and stays there. Settings: runs, store or corpus, split,
    output, only, fields, told, num_documents, max_tokens, benchmark, permutations, test, penalty,
    prompt, extracted, bootstrap_samples, confidence, seed, device, dtype.
    """
    quiet_libraries()
    from eval.model import Model
    from eval.probe.config import ProbeConfig
    from eval.probe.run import plan_probe, run_probe
    from eval.probe.write import markdown, write_probe
    from eval.scorers.base import Scorer
    from eval.scorers.exported import export_of
    from eval.scorers.load import load
    from geo_nemo.cli.outputs import output_folder
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.config.load import load_config

    settings = load_config(config or "probe", ProbeConfig, overrides)
    plans = plan_probe(settings)
    output = Path(settings.output)
    with output_folder(output), progress_bar() as progress:

        def loader(model: Model) -> Scorer:
            if model.kind == "run" and settings.reads_states:
                store = None if settings.store is None else str(settings.store)
                model = export_of(model, output / "exports", store, progress)
            return load(model, settings.evaluation(settings.split, ("without",)))

        result = run_probe(settings, loader, progress, ("geo-nemo", *sys.argv[1:]), plans)
        paths = write_probe(result, output)
    click.echo(markdown(result))
    click.echo(paths[0])
