"""Lengths of stages in steps or tokens, told as fractions of the run."""

import math
from typing import Any


def with_fractions(run: Any) -> Any:
    """The raw values of a run, where stages that have `steps` or `tokens` get their fraction.

    train.steps becomes the sum. Tokens are whole global batches, rounded up. ValueError where
    stages are told in different ways. Whatever is not as expected is left to the schema.
    """
    try:
        stages, train, data = run["stages"], run["train"], run["data"]
        lengths = {name: stage for name, stage in stages.items() if isinstance(stage, dict)}
        told = {key for s in lengths.values() for key in ("steps", "tokens") if s.get(key)}
    except (TypeError, KeyError, AttributeError):
        return run
    if not told:
        return run
    (key, *more) = sorted(told)
    if more or len(lengths) < len(stages) or not all(s.get(key) for s in lengths.values()):
        raise ValueError("stages: tell every length in the same way: fraction, steps or tokens")
    try:
        unit = {
            name: 1
            if key == "steps"
            else int(stage.get("global_batch_size") or train["global_batch_size"])
            * int(stage.get("seq_length") or data["seq_length"])
            for name, stage in lengths.items()
        }
        steps = {name: math.ceil(int(stage[key]) / unit[name]) for name, stage in lengths.items()}
    except (TypeError, KeyError, ValueError, ZeroDivisionError):
        return run
    total = sum(steps.values())
    if min(steps.values()) <= 0:
        raise ValueError(f"stages: {key} must be above 0")
    told_so = {name: {**stage, "fraction": steps[name] / total} for name, stage in lengths.items()}
    return {**run, "stages": told_so, "train": {**train, "steps": total}}
