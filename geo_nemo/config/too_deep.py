"""What is wrong with a config that stands too deep in itself: recipes that name one another, or
values in values. Where reading it broke off tells which."""

from collections.abc import Sequence
from traceback import walk_tb

# Frames of Hydra's: one for each recipe whose defaults are read, and one that reads a file.
_DEFAULTS, _FILE = "_create_defaults_tree_impl", "load_config"
_MANY, _DEEP = 100, 50
_SHOWN = 5
_FLATTER = "write it with fewer lists and keys in one another"


def why_too_deep(
    error: RecursionError, name: str, primary: str, is_recipe: bool, overrides: Sequence[str]
) -> str:
    """The mistake, in a line that begins with what to mend.

    name: of the config as it was given. primary: the same as a recipe's. is_recipe: whether a
    recipe of that name stands elsewhere, too.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    nodes = [frame.f_locals["root"].node for frame in frames if frame.f_code.co_name == _DEFAULTS]
    way = [node.get_config_path() for node in nodes[1:]]
    again = next((place for place, recipe in enumerate(way) if recipe in way[:place]), 0)
    if again:
        circle = way[way.index(way[again]) : again + 1]
        if is_recipe and circle[0] == primary:
            return (
                f"{name} has the name of the recipe {primary}, which its defaults name, and so "
                f"they name this file: call it otherwise, as my_{primary}.yaml"
            )
        return (
            f"{name}: recipes name one another in a circle, {_shown(circle)}: take one of these "
            "names out of the defaults of the recipe before it"
        )
    if len(way) > _MANY:
        return (
            f"{name}: more than {_MANY} recipes name one another in their defaults, "
            f"{_shown(way)}: put some of them together"
        )
    read = [frame.f_locals.get("config_path") for frame in frames if frame.f_code.co_name == _FILE]
    if read and isinstance(read[-1], str):
        where = read[-1].removesuffix(".yaml")
        where = name if where == primary else f"{name}: the recipe {where}"
        return f"{where} has values nested too deep: {_FLATTER}"
    if max(map(_brackets, overrides), default=0) > _DEEP:
        return deep_setting(overrides)
    return f"{name}: its values are nested too deep: {_FLATTER}"


def deep_setting(overrides: Sequence[str]) -> str:
    """What is wrong with the one of `overrides` whose brackets stand deepest in one another."""
    key = max(overrides, key=_brackets).partition("=")[0]
    return f"cannot read {key}: its value is nested too deep: {_FLATTER}"


def _brackets(text: str) -> int:
    """How deep brackets stand in one another."""
    deepest = depth = 0
    for sign in text:
        depth += (sign in "[{") - (sign in "]}")
        deepest = max(deepest, depth)
    return deepest


def _shown(way: list[str]) -> str:
    """The first recipes of a way."""
    return " > ".join(way[:_SHOWN] + ["..."] * (len(way) > _SHOWN))
