"""Where the processes of a job wait for each other."""

import torch.distributed as dist


def meet() -> None:
    """Return when every process of the job is here; at once where none has joined others."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.barrier()
