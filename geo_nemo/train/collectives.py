"""Where the processes of a job wait for each other, and compare what they have."""

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
