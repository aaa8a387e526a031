"""`python -m benchmarks answers`: do tuned models answer for the country that they are told?"""

from pathlib import Path

import click

from benchmarks.answers.page import NAME, section, table, verdicts
from benchmarks.answers.steps import MODELS, answers, make_corpus, read
from benchmarks.experiment.figures import ROOT, add_line, code_commit
from benchmarks.experiment.page import put
from benchmarks.experiment.work import Processes, stoppable
from benchmarks.machine import machine_facts
from geo_nemo.common.errors import UserError

_file = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog="Example: python -m benchmarks answers --seeds 3")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2),
              help="Of first weights, order of documents, and tuning.")  # fmt: skip
@click.option("--steps", default=400, show_default=True, type=click.IntRange(10),
              help="Of pre-training.")  # fmt: skip
@click.option("--documents", type=click.IntRange(200), help="Of the synthetic corpus.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path),
              default=Path("runs/answers"), show_default=True,
              help="Folder of all that is made.")  # fmt: skip
@click.option("--results", type=_file, help="Figures; benchmarks/experiments/answers.jsonl.")
@click.option("--page", type=_file, help="Receives the section; docs/experiments.md.")
def command(
    seeds: int, steps: int, documents: int | None, work: Path, results: Path | None,
    page: Path | None,
) -> int:  # fmt: skip
    """Pre-train, tune and ask a conditioned and an ordinary model, for each seed.

    Needs the packages of tuning: pip install 'geo-nemo[tune]'. Stopped at any point, the same
    command goes on from there.
    """
    results = results or ROOT / "benchmarks" / "experiments" / f"{NAME}.jsonl"
    page = page or ROOT / "docs" / "experiments.md"
    processes = Processes(1)
    asked = {"steps": steps, "documents": documents}
    with stoppable(work, processes):
        return _run(seeds, asked, work, results, page, processes)


def _run(
    seeds: int, asked: dict, work: Path, results: Path, page: Path, processes: Processes
) -> int:
    lines = read(results) if results.exists() else []
    for line in lines:
        if line["asked"] != asked:
            raise UserError(
                f"{results}: seed {line['seed']} had {line['asked']}, and this call asks for "
                f"{asked}: give --results FILE for new ones, or move it away"
            )
    done = {line["seed"] for line in lines}
    corpus = make_corpus(work / "corpus", asked["documents"], processes)
    for seed in (seed for seed in range(1, seeds + 1) if seed not in done):
        found = {}
        for model in MODELS:
            folder = work / f"{model}-{seed}"
            found[model] = answers(model, seed, asked["steps"], corpus, folder, processes)
            click.echo(f"seed {seed}, {model}: {found[model]}")
        line = {"seed": seed, "asked": asked, "right": found, "commit": code_commit()}
        line["machine"] = machine_facts()
        add_line(results, line)
        lines.append(line)
    click.echo(table(lines))
    for says, _, verdict in verdicts(lines):
        click.echo(f"{verdict}: {says}")
    put(page, NAME, section(lines))
    click.echo(str(page))
    return 0
