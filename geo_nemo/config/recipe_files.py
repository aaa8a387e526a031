"""Where recipes are: the built-in folder, and folders of one's own.

`GEO_NEMO_RECIPES`, which `--recipes DIR` sets, names folders as PATH does. Each is laid out as the
built-in one is: a group is a folder, and `experiment=NAME` is the file `experiment/NAME.yaml`. A
recipe of one's own may build on any other. A name stands for one file: two are an error.
"""

import os
from functools import cache
from pathlib import Path

from geo_nemo.common.errors import UserError
from geo_nemo.config import named_experiments

VARIABLE = "GEO_NEMO_RECIPES"


def built_in_dir() -> Path:
    """The project's recipes: inside an installed wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "recipes", package.parent / "recipes"):
        if folder.is_dir():
            return folder
    raise UserError(f"no recipes folder beside {package}: reinstall geo-nemo")


def recipe_dirs() -> list[Path]:
    """Every folder of recipes, the built-in one first.

    Raises `UserError` where one is not there.
    """
    folders = [built_in_dir()]
    for word in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        folder = Path(word).absolute()
        if not folder.is_dir():
            raise UserError(f"no folder of recipes {word}: see --recipes and {VARIABLE}")
        if folder not in folders:
            folders.append(folder)
    return folders


def add_recipes(folder: str) -> None:
    """Name a further folder of recipes, for this process and those that it starts."""
    if os.pathsep in folder:
        raise UserError(f"--recipes {folder}: a folder's name may not hold {os.pathsep!r}")
    before = os.environ.get(VARIABLE)
    own = str(Path(folder).absolute())
    os.environ[VARIABLE] = os.pathsep.join([before, own]) if before else own
    check_apart()


def find_recipe(name: str) -> Path:
    """The folder that holds `<name>.yaml`."""
    for folder in recipe_dirs():
        if (folder / f"{name}.yaml").is_file():
            return folder
    there = f"; is {name} a file of texts? write input={name}" if Path(name).is_file() else ""
    raise UserError(f"no recipe {name}: give the name of one, or a file that ends in .yaml{there}")


def is_group(name: str) -> bool:
    """Whether a folder of recipes has this name."""
    return any((folder / name).is_dir() for folder in recipe_dirs())


def recipe_files() -> dict[str, Path]:
    """Every recipe that is a file by its name, as `experiment/demo`, sorted.

    Raises `UserError` where one name stands in two folders.
    """
    found: dict[str, Path] = {}
    for folder in recipe_dirs():
        for path in folder.rglob("*.yaml"):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise UserError(
                    f"the recipe {name} stands in {path} and in {found[name]}: give one of them "
                    "another name"
                )
            found[name] = path
    return dict(sorted(found.items()))


def check_apart() -> None:
    """Raise `UserError` where a recipe of one's own has a name that is taken."""
    if len(recipe_dirs()) == 1:
        return
    names_of = cache(group_names)
    for name, path in recipe_files().items():
        group, _, rest = name.partition("/")
        if group == named_experiments.GROUP and named_experiments.parse(rest, names_of):
            raise UserError(
                f"{path}: {rest} is an experiment of geo-nemo's already: give it another name"
            )


def group_names(group: str) -> list[str]:
    """Names of a group's recipes, as they stand behind `group=`."""
    names = [name[len(group) + 1 :] for name in recipe_files() if name.startswith(f"{group}/")]
    if group == named_experiments.GROUP:
        names = sorted([*names, *(each.name for each in named_experiments.published())])
    return names
