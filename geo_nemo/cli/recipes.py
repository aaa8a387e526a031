"""`geo-nemo recipes`: list the recipes, show one as a whole config, compare two."""

import difflib
from pathlib import Path

import click

from geo_nemo.cli.options import OVERRIDES, Recipes, with_experiment
from geo_nemo.config import UserError
from geo_nemo.config.named_experiments import GROUP, published
from geo_nemo.config.recipe_files import recipe_files
from geo_nemo.config.whole import as_yaml, differences, whole_config

EXIT_DIFFERENT = 1


@click.group(invoke_without_command=True, epilog="Example: geo-nemo recipes list experiment")
@click.pass_context
def command(context: click.Context) -> None:
    """List the recipes, show one as a whole config, compare two experiments.

    Without a command, lists all of them.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_recipes, groups=())


@command.command(
    "list",
    short_help="a line for each recipe",
    epilog="Example: geo-nemo recipes list model",
)
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
@Recipes
def list_recipes(groups: tuple[str, ...]) -> None:
    """A line for each recipe: what is written on the command line, and what it is for."""
    found = all_recipes()
    there = sorted(found)
    for group in groups:
        if group not in found:
            near = difflib.get_close_matches(group, there, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"no group of recipes {group}; there is {', '.join(there)}{hint}")
    for group in groups or there:
        width = max(len(name) for name, _ in found[group]) + len(group) + 3
        for name, purpose in found[group]:
            click.echo(f"{f'{group}={name}':{width}}{purpose}")


@command.command(
    "show",
    short_help="the whole config of a training, as YAML",
    epilog="Example: geo-nemo recipes show paper/1b_africa_with",
)
@OVERRIDES
def show(overrides: tuple[str, ...]) -> None:
    """The whole config of a training, defaults included, as YAML. A word alone is an experiment."""
    click.echo(as_yaml(whole_config(with_experiment(overrides))), nl=False)


@command.command(
    "shape",
    short_help="the model of a Hugging Face folder, as a recipe",
    epilog="Example: geo-nemo recipes shape /models/qwen > our_recipes/model/qwen.yaml",
)
@click.argument("folder", type=click.Path(path_type=Path))
def shape(folder: Path) -> None:
    """The model of a Hugging Face folder as a recipe of the group model, for init.checkpoint.

    FOLDER has config.json and safetensors of a Llama, Mistral, Qwen 2.5 or Qwen 3.
    """
    from geo_nemo.model.hugging_face import recipe_of

    click.echo(as_yaml(recipe_of(folder)), nl=False)


@command.command(
    "diff",
    short_help="settings in which two experiments differ",
    epilog="Example: geo-nemo recipes diff paper/1b_africa_with localization/1b_africa_with",
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@OVERRIDES
def diff(first: str, second: str, overrides: tuple[str, ...]) -> int:
    """Settings in which two experiments differ, a line each. A, B: names of experiments.

    Settings after them hold for both. Exits with 1 where they differ, and with 0 where they do not.
    """
    lines = differences(
        *(whole_config(with_experiment((name, *overrides))) for name in (first, second))
    )
    for line in lines:
        click.echo(line)
    return EXIT_DIFFERENT if lines else 0


def all_recipes() -> dict[str, list[tuple[str, str]]]:
    """By group, names and first lines of all recipes; bases of others are left out."""
    found: dict[str, list[tuple[str, str]]] = {}
    for recipe, path in recipe_files().items():
        group, *rest = recipe.split("/")
        if rest and rest[-1] != "base":
            found.setdefault(group, []).append(("/".join(rest), _purpose(path)))
    found[GROUP] = sorted([*found[GROUP], *((each.name, each.purpose) for each in published())])
    return found


def _purpose(path: Path) -> str:
    """The first sentence of a recipe's first comment."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        words.append(line.lstrip("# "))
    text = " ".join(words)
    end = text.find(". ")
    return (text if end < 0 else text[: end + 1]).rstrip(".")
