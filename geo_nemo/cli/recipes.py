"""`geo-nemo recipes`: list the recipes, show one as a whole config, compare two."""

import difflib
from pathlib import Path
from typing import Any

import click
import yaml

from geo_nemo.cli.options import OVERRIDES, with_experiment
from geo_nemo.config import Run, UserError
from geo_nemo.config.load import compose, recipes_dir, validate

EXIT_DIFFERENT = 1
# What a recipe leaves to its user; a whole config needs some value.
OPEN = {
    "output_dir": "<output_dir>",
    "store": "<data.store>",
    "checkpoint": "<init.checkpoint>",
}


@click.group(invoke_without_command=True, epilog="Example: geo-nemo recipes list experiment")
@click.pass_context
def command(context: click.Context) -> None:
    """List the recipes, show one as a whole config, compare two experiments.

    Without a command, lists all of them.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_recipes, groups=())


@command.command("list", epilog="Example: geo-nemo recipes list model")
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
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


@command.command("show", epilog="Example: geo-nemo recipes show paper/1b_africa_with")
@OVERRIDES
def show(overrides: tuple[str, ...]) -> None:
    """The whole config of a training, defaults included, as YAML. A word alone is an experiment."""
    click.echo(as_yaml(whole_config(with_experiment(overrides))), nl=False)


@command.command(
    "diff", epilog="Example: geo-nemo recipes diff paper/1b_africa_with localization/1b_africa_with"
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@OVERRIDES
def diff(first: str, second: str, overrides: tuple[str, ...]) -> int:
    """Settings in which two experiments differ, a line each. A, B: names of experiments.

    Settings after them hold for both. Exits with 1 where they differ, and with 0 where they do not.
    """
    here, there = (
        flatten(whole_config(with_experiment((name, *overrides)))) for name in (first, second)
    )
    keys = [key for key in (here | there) if here.get(key) != there.get(key)]
    for key in keys:
        click.echo(f"{key}: {here.get(key, '-')} | {there.get(key, '-')}")
    return EXIT_DIFFERENT if keys else 0


def all_recipes() -> dict[str, list[tuple[str, str]]]:
    """By group, names and first lines of all recipes; bases of others are left out."""
    root = recipes_dir()
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(root.rglob("*.yaml")):
        group, *rest = path.relative_to(root).with_suffix("").parts
        if rest and rest[-1] != "base":
            found.setdefault(group, []).append(("/".join(rest), _purpose(path)))
    return found


def as_yaml(values: dict[str, Any]) -> str:
    """A config as a file has it, in the order of its sections."""
    return yaml.safe_dump(values, sort_keys=False)


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Values of a nested config by their keys, as they are written on the command line."""
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def whole_config(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Every setting of a training, defaults included; what it leaves open is named in `<>`."""
    values = compose("train", overrides)
    values.setdefault("output_dir", OPEN["output_dir"])
    values.setdefault("data", {}).setdefault("store", OPEN["store"])
    if values.get("init") is not None:
        values["init"].setdefault("checkpoint", OPEN["checkpoint"])
    return validate("train", Run, values).model_dump(mode="json")


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
