"""From recipes and command-line overrides to a typed config.

1. Hydra composes `recipes/<name>.yaml`, or a file of the user's, with its groups and the overrides.
2. OmegaConf resolves interpolations.
3. pydantic checks types, bounds and unknown keys.

A file that ends in .json is a whole config, which is read as it stands.

Any mistake on the way is one `UserError` that names the key, the value and the nearest valid name.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import read_json
from geo_nemo.config.kinds import WRITTEN
from geo_nemo.config.mistakes import MANY, first_mistake, wanted, without_addresses
from geo_nemo.config.newest import with_newest
from geo_nemo.config.quoting import quote, quoted
from geo_nemo.config.recipe_files import (
    check_apart,
    find_recipe,
    group_names,
    is_group,
    recipe_dirs,
)
from geo_nemo.config.section import Section
from geo_nemo.config.too_deep import why_too_deep

S = TypeVar("S", bound=Section)
# A key as `module:attribute`, quoted or not, which Hydra reads with a backslash alone.
_NAME_WITH_COLON = re.compile(r"""(["']?)([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)\1(?=\s*:)""")


def compose(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """`recipes/<name>.yaml` with its groups and `overrides`, resolved to plain containers.

    A name that ends in .yaml is a file of the user's; the groups of recipes are there for it too.
    A key whose value the recipe leaves open (`???`) is absent.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from geo_nemo.config.named_source import SEARCH_PATH

    if name.endswith(".json"):
        return _whole(name, overrides)
    check_apart()
    forced = [_forced(text) for text in overrides]
    folders = recipe_dirs()
    if name.endswith(".yaml"):
        file = Path(name)
        if not file.is_file():
            raise UserError(f"no config {name}: give a YAML file, or the name of a recipe")
        folder, primary = file.resolve().parent, file.stem
    else:
        folder, primary = find_recipe(name), name
    others = [quote(f"file://{other}") for other in folders if other != folder]
    others = ",".join([*others, SEARCH_PATH])
    forced.append(f"hydra.searchpath=[{others}]")
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(folder)):
            composed = hydra_compose(primary, overrides=forced)
        return with_newest(_without_open(OmegaConf.to_container(composed, resolve=True)))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{name} is not YAML: {' '.join(str(error).split())[:200]}") from None
    except RecursionError as error:
        elsewhere = any(
            (other / f"{primary}.yaml").is_file() for other in folders if other != folder
        )
        raise UserError(why_too_deep(error, name, primary, elsewhere, overrides)) from None
    # Hydra raises ValueError for the choice of a group that is not a name.
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        line = _no_choice(overrides) or without_addresses(_hydra_line(error))
        raise UserError(f"{name}: {line}") from error


def validate(
    name: str, schema: type[S], values: dict[str, Any], kept: bool = False, typed: bool = False
) -> S:
    """`values` as a frozen `schema`; the first mistake is a `UserError` that names its key.

    kept: they are of a record, which is read wherever what it names may not be installed.
    typed: they are of a command, which takes settings.
    """
    try:
        return schema.model_validate(values, context=None if kept else WRITTEN)
    except ValidationError as error:
        raise UserError(f"{name}: {first_mistake(schema, error, typed, is_group)}") from None


def load_config(name: str, schema: type[S], overrides: Sequence[str] = ()) -> S:
    """The config of a command: composed from recipes, resolved, checked."""
    return validate(name, schema, compose(name, overrides), typed=not name.endswith(".json"))


def _whole(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The config in a JSON file, which has every setting and takes no other."""
    if overrides:
        raise UserError(
            f"{name} is a whole config: it takes no {overrides[0]}; change it there, or give a "
            "YAML file or a recipe, which take settings"
        )
    found = read_json(Path(name), "give a config that geo-nemo launch or --cfg json wrote")
    if found.keys() >= {"config", "command", "sessions"}:
        # A run's own record: the run goes on where it lies now, whatever recipes say since.
        return {**found["config"], "output_dir": str(Path(name).absolute().parent)}
    return found


def _forced(override: str) -> str:
    """`key=value` so that Hydra takes keys that only the schema knows; it checks them later."""
    key, sign, _ = override.partition("=")
    if not key.strip("+~ ") or not (sign or key.startswith("~")):
        there = key in group_names("experiment")
        raise UserError(f"{override} is not key=value" + f"; write experiment={key}" * there)
    names_group = "@" in key or is_group(key)
    return override if names_group or key[:1] in "+~" else f"++{override}"


def _no_choice(overrides: Sequence[str]) -> str:
    """What is wrong with `group=null` or `group=3`, of which Hydra does not say which it is."""
    no_name = re.compile(r"|null|true|false|[-+.\d]+", re.IGNORECASE)
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        group = key.partition("@")[0]
        if group and is_group(group) and no_name.fullmatch(value):
            return f"{override} is not a recipe's name; there is {_listed(group)}"
    return ""


def _listed(group: str) -> str:
    names = group_names(group)
    return ", ".join(names) if len(names) <= MANY else f"geo-nemo recipes list {group}"


def _hydra_line(error: Exception) -> str:
    """What is wrong and what there is instead, from Hydra's or OmegaConf's error, on one line."""
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, MissingConfigException) and error.options:
        # Hydra lists what stands beside the missing file, not what stands in folders below.
        group, _, choice = error.missing_cfg_file.partition("/")
        options = sorted({*group_names(group), *error.options})
        near = difflib.get_close_matches(choice, options, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        there = ", ".join(options) if len(options) <= MANY else f"geo-nemo recipes list {group}"
        return f"{group}={choice} is not a recipe; there is {there}{hint}"
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.lstrip("+").partition("=")
        escaped = _NAME_WITH_COLON.sub(r"\2\\:\3", value)
        if escaped != value:
            return f"cannot read {key}={value}: write the colon of a name so: '{key}={escaped}'"
        return f"cannot read {key}={value}: {quoted(key, value)}"
    text = " ".join(str(error).split())
    if ambiguous := re.match(r"Ambiguous value for argument '\+*([^=]+)=(.*?)' 1\.", text):
        key, value = ambiguous.groups()
        return (
            f"cannot read {key}={value}: write {key}=[{value}] for a list, quote the value, "
            "or have --multirun of geo-nemo train or launch make a run of each"
        )
    cause = error.__cause__
    if cause is not None and str(cause) not in str(error):
        text += " " + " ".join(str(cause).split())
    unlike = re.match(r"Error merging override \+*([^=]+)=[^\[{]*([\[{]).* Cannot merge ", text)
    if unlike is not None:
        return f"{unlike[1]}: {wanted(unlike[2] == '{')}"
    said = re.split(r" full_key:| To append to your | See https:", text)[0]
    if absent := re.match(r"Could not override '(\S+@\S+)'", said):
        said = f"{said.rstrip('.')}; one that is not there yet is added by +{absent[1]}=NAME"
    return said


def _without_open(values: Any) -> Any:
    """`values` without the keys that the recipe leaves open."""
    if isinstance(values, dict):
        return {key: _without_open(value) for key, value in values.items() if value != "???"}
    return values
