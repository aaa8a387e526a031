"""Where the processes of a job wait for each other, and compare what they have."""

import hashlib
import json
from collections.abc import Mapping

import torch.distributed as dist

from geo_nemo.config import UserError


def meet() -> None:
    """Return when every process of the job is here; at once where none has joined others."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.barrier()


def check_same(what: str, value: str) -> None:
    """Raise `UserError` in every process of the job where `value` is not the same in all."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    values: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(values, value)
    other = next((rank for rank, each in enumerate(values) if each != values[0]), None)
    if other is not None:
        raise UserError(
            f"{what} is {values[0]} for rank 0 and {values[other]} for rank {other}: it changed "
            "while the run started; start it again"
        )


def check_same_settings(settings: Mapping[str, str]) -> None:
    """Raise `UserError` in every process of the job where one of `settings` is not the same in all.

    Processes with other settings would wait for each other at other places, or train something
    else.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    digests = [""] * dist.get_world_size()
    mine = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    dist.all_gather_object(digests, mine)
    other = next((rank for rank, each in enumerate(digests) if each != digests[0]), None)
    if other is None:
        return
    both: list[Mapping[str, str]] = [{}] * len(digests)
    dist.all_gather_object(both, settings if dist.get_rank() in (0, other) else {})
    first, second = both[0], both[other]
    name = next(key for key in {**first, **second} if first.get(key) != second.get(key))
    raise UserError(
        f"{name} is {first.get(name, 'not set')} for rank 0 and {second.get(name, 'not set')} for "
        f"rank {other}: give all processes the same command, recipes and packages; where a file "
        "system is late to show what another node wrote, start it again"
    )
