"""A training's whole config: every setting, defaults included, as `--cfg job` prints it."""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from geo_nemo.config.load import compose, validate
from geo_nemo.config.schema import Run

# What a recipe leaves to its user; a whole config needs some value.
OPEN = {
    "output_dir": "<output_dir>",
    "store": "<data.store>",
    "checkpoint": "<init.checkpoint>",
}


def whole_config(overrides: Sequence[str], name: str = "train") -> dict[str, Any]:
    """Every setting of a training, defaults included; what it leaves open is named in `<>`."""
    values = compose(name, overrides)
    values.setdefault("output_dir", OPEN["output_dir"])
    values.setdefault("data", {}).setdefault("store", OPEN["store"])
    if values.get("init") is not None:
        values["init"].setdefault("checkpoint", OPEN["checkpoint"])
    return validate("train", Run, values, typed=True).model_dump(mode="json")


def as_yaml(values: dict[str, Any]) -> str:
    """A config as a file has it, in the order of its sections."""
    return yaml.safe_dump(values, sort_keys=False)


def as_json(values: dict[str, Any]) -> str:
    """A config as `--config FILE.json` reads it."""
    return json.dumps(values, indent=1) + "\n"


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Values of a nested config by their keys, as they are written on the command line."""
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """A line `key: here | there` for each setting in which two configs differ; `-`: not set."""
    one, other = flatten(here), flatten(there)
    return [
        f"{key}: {one.get(key, '-')} | {other.get(key, '-')}"
        for key in one | other
        if one.get(key) != other.get(key)
    ]
