"""NCCL for a world of one process: torch's fake group, whose operations keep what is there."""

import torch.distributed as dist
from torch.distributed import distributed_c10d


def install() -> None:
    """Let `init_process_group("nccl")` open that group, and `get_backend` call it nccl."""
    real_init, real_backend = dist.init_process_group, dist.get_backend

    def init(backend=None, *args, store=None, timeout=None, device_id=None, **kwargs):
        if backend != "nccl":
            return real_init(
                backend, *args, store=store, timeout=timeout, device_id=device_id, **kwargs
            )
        from torch.testing._internal.distributed.fake_pg import FakeStore

        world = {"rank": 0, "world_size": 1, **kwargs}
        if world["world_size"] != 1:
            raise NotImplementedError("the emulated device has no NCCL between processes")
        return real_init("fake", *args, store=FakeStore(), **world)

    def backend_of(group=None):
        name = real_backend(group)
        return "nccl" if name == "fake" else name

    dist.init_process_group = init
    dist.get_backend = distributed_c10d.get_backend = backend_of
