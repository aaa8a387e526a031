"""What a recipe that says nothing of it gets: the newest way to cut texts into tokens.

A run that is there goes on as it began: what its record says of a stage, or does not say.
"""

from pathlib import Path
from typing import Any

from geo_nemo.common.parse import parse_json

# `cut` of geo_nemo.config.MetadataPolicy: of new policies, and of records that do not tell.
NEWEST_CUT, FIRST_CUT = "whole", "parts"


def with_newest(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a recipe, whose metadata policies all say how they cut."""
    stages = values.get("stages")
    if not isinstance(stages, dict):
        return {**values, "metadata": _cut(values["metadata"])} if "metadata" in values else values
    begun = _record(values.get("output_dir"))
    return {
        **values,
        "stages": {
            name: _of_stage(stage, begun.get(name)) if isinstance(stage, dict) else stage
            for name, stage in stages.items()
        },
    }


def _of_stage(stage: dict[str, Any], begun: Any) -> dict[str, Any]:
    if "metadata" not in stage:
        return stage
    try:
        first = begun["metadata"].get("cut", FIRST_CUT)
    except (TypeError, KeyError, AttributeError):
        first = NEWEST_CUT
    return {**stage, "metadata": _cut(stage["metadata"], first)}


def _cut(policy: Any, cut: str = NEWEST_CUT) -> Any:
    return {"cut": cut, **policy} if isinstance(policy, dict) else policy


def _record(output_dir: Any) -> dict[str, Any]:
    """Stages of the run in a folder, as its record has them; none where there is no run."""
    try:
        record = parse_json(Path(str(output_dir), "run.json").read_bytes())
        return dict(record["config"]["stages"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
