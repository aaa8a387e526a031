"""`geo-nemo analyse`: the questions of the localization paper over a folder of runs."""

from pathlib import Path

import click

from geo_nemo.cli.options import DiskPath
from geo_nemo.common.counts import plural


@click.command(epilog="Example: geo-nemo analyse runs/eval --out runs/analyses")
@click.argument("evaluations", nargs=-1, metavar="EVAL...", type=click.Path(path_type=Path))
@click.option("--out", type=DiskPath(path_type=Path), metavar="DIR", help="Where the page goes.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="This analysis; may be given again. See --list."
)
@click.option("--part", type=click.Choice(["body", "title"]), default="body", show_default=True)
@click.option("--list", "listed", is_flag=True, help="Name the analyses and the runs they take.")
def command(
    evaluations: tuple[Path, ...], out: Path | None, only: tuple[str, ...], part: str, listed: bool
) -> None:
    """Compare runs by what they were trained on: regions, fields, sizes, tokens, seeds.

    EVAL are folders that geo-nemo eval has written, of the same documents; runs of several are
    compared with each other, and runs that differ in their training seed alone are pooled.
    """
    import difflib

    from eval.analyses.questions import QUESTIONS
    from geo_nemo.config import UserError

    if listed:
        for name, question in QUESTIONS.items():
            click.echo(f"{name:22} {question.asks}\n{'':22} takes {question.needs}")
        return
    for name in only:
        if name not in QUESTIONS:
            near = difflib.get_close_matches(name, QUESTIONS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there is {', '.join(QUESTIONS)}"
            raise UserError(f"no analysis {name}{hint}")
    if out is None:
        raise UserError("no place for the page: give --out DIR")
    from eval.analyses.study import Study
    from eval.analyses.write import answers, markdown, write
    from geo_nemo.cli.outputs import output_folder

    study = Study(evaluations, part)
    found = answers(study, only)
    if not any(answer.lines for answer in found):
        needs = "; ".join(f"{a.question.name} takes {a.question.needs}" for a in found)
        serve = plural(len(study.members), "run serves", "runs serve")
        raise UserError(f"{serve} for no analysis: {needs}")
    with output_folder(out):
        paths = write(study, found, out)
    click.echo(markdown(study, found))
    click.echo(paths[0])
