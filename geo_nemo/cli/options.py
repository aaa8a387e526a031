"""Arguments that several commands share, and how quiet their libraries are."""

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from geo_nemo.common.addresses import check_on_disk
from geo_nemo.common.errors import UserError
from geo_nemo.common.files import writing
from geo_nemo.config.recipe_files import add_recipes

# Whose log has what programs that call Megatron-Core 0.19 should do otherwise, and that a build of
# torch for CUDA stands on a machine without it.
_FOR_DEVELOPERS = (
    "megatron.core.dist_checkpointing.strategies.common",
    "megatron.core.distributed.distributed_data_parallel",
    "megatron.core.models.gpt.gpt_model",
    "torch.utils.cpp_extension",
)


class DiskPath(click.Path):
    """A path of this machine, for what is written: an address would become a folder `s3:`."""

    def convert(self, value, param, context):
        check_on_disk(param.opts[-1] if param else "a path", value)
        return super().convert(value, param, context)


def _add_recipes(context: click.Context, option: click.Parameter, folder: str | None) -> None:
    if folder is not None:
        add_recipes(folder)


class DiskFile(DiskPath):
    """A file of this machine that a command writes at its end: what refuses it is said first."""

    def convert(self, value, param, context):
        name = param.opts[-1] if param else "a file"
        path = super().convert(value, param, context)
        with writing(Path(path)):  # a name may be too long to be asked for
            is_folder, has_folder = Path(path).is_dir(), Path(path).parent.is_dir()
        if is_folder:
            raise UserError(f"cannot write {path}: it is a folder; give a file in it as {name}")
        if not has_folder:
            raise UserError(
                f"cannot write {path}: there is no folder {Path(path).parent}; make it, or give "
                f"another {name}"
            )
        check_own_folder(path, name)
        return path


def check_own_folder(path: str, name: str) -> None:
    """Raise `UserError` where this process may write no file in the folder of `path`.

    name: of the option that gave it.
    """
    if not os.access(Path(path).parent, os.W_OK):
        raise UserError(f"cannot write {path}: its folder is not yours; give another {name}")


Recipes = click.option(
    "--recipes",
    metavar="DIR",
    callback=_add_recipes,
    expose_value=False,
    help="A folder of recipes of your own, beside the built-in ones (docs/recipes.md).",
)


def OVERRIDES(command: Callable) -> Callable:
    """Settings as arguments, and the folder of recipes that they may name."""
    return click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(Recipes(command))


def _config(whole: str) -> Callable:
    text = f"Start from this file: a YAML recipe; or {whole}, to which no settings are added."
    return click.option("--config", metavar="FILE", help=text)


Config = _config("a whole config as JSON")
RunConfig = _config("a whole config as JSON, or a run's run.json")
DryRun = click.option(
    "--dry-run", is_flag=True, help="Check everything, print the plan, start nothing."
)


def with_experiment(words: Sequence[str]) -> tuple[str, ...]:
    """Settings, of which a word alone is the name of an experiment."""
    return tuple(word if "=" in word else f"experiment={word}" for word in words)


def quiet_libraries() -> None:
    """Drop Megatron-Core's and torch's warnings, which are not for this command's user.

    One comes with the import of each fused kernel that a CPU has not, and with each deprecation.
    """
    warnings.filterwarnings("ignore", module=r"(megatron|torch)(\..*)?$")
    for name in _FOR_DEVELOPERS:
        logging.getLogger(name).setLevel(logging.ERROR)
