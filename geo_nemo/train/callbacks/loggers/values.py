"""What loggers are told: the numbers of a line under flat names, ours or those of others."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Of a line, not a measurement: the step itself, which loggers have as their axis.
_AXES = ("step", "steps_done")
# NeMo 2 (Lightning's metrics, and its timing, speed and data callbacks).
_NEMO = {
    "loss": "reduced_train_loss",
    "seconds": "train_step_timing in s",
    "tokens_per_second": "throughput/tokens_per_sec",
    "consumed_samples": "stage_consumed_samples",  # theirs counts the whole run's
    "total_samples": "consumed_samples",
}
# Megatron-LM and Megatron-Bridge.
_MEGATRON = {
    "loss": "lm loss",
    "lr": "learning-rate",
    "grad_norm": "grad-norm",
    "param_norm": "params-norm",
    "seconds": "iteration-time",
    "total_samples": "samples vs steps",
}
NAMES: dict[str, dict[str, str]] = {"own": {}, "nemo": _NEMO, "megatron": _MEGATRON}
_VALIDATION = {"nemo": "val_loss", "megatron": "lm loss validation"}


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line; those by country as `loss_by_country/gb`."""
    values: dict[str, float] = {}
    for key, value in line.items():
        if isinstance(value, Mapping):
            values |= {f"{key}/{name}": number for name, number in scalars(value).items()}
        elif isinstance(value, int | float) and key not in _AXES:
            values[key] = float(value)
    return values


def of_validation(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of `validation.jsonl`, without those by country."""
    values = {
        f"validation_loss/{condition}": float(loss) for condition, loss in line["loss"].items()
    }
    return values | {f"validation_{n}": float(line[n]) for n in ("gap", "trust") if n in line}


def renamed(values: Mapping[str, float], names: str, step: int) -> dict[str, float]:
    """`values` under the names of a set of `NAMES`; `step` steps are done.

    The validation loss of the others is that of text as the model is trained on it: with metadata,
    or without where no stage has any.
    """
    told = {NAMES[names].get(key, key): value for key, value in values.items()}
    if names in _VALIDATION:
        as_trained = ("validation_loss/with", "validation_loss/without")
        found = next((key for key in as_trained if key in told), None)
        told |= {_VALIDATION[names]: told.pop(found)} if found else {}
    if names == "nemo":
        told["global_step"] = float(step - 1)  # theirs counts from 0
    return told


def flattened(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"a": {"b": 1}}` as `("a.b", 1)`."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def plain(name: str) -> str:
    """`name` as MLflow takes it: letters, digits and `_-./ `, no part empty or of dots alone."""
    parts = re.sub(r"[^A-Za-z0-9_\-./ ]", "_", name)[:250].split("/")
    return "/".join(part if part.strip(". ") else "_" * max(len(part), 1) for part in parts)
