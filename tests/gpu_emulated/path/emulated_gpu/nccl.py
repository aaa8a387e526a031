"""NCCL: for a world of one process torch's fake group, whose operations keep what is there.

For several: emulated_gpu.several_processes.
"""

import os

import torch.distributed as dist
from torch.distributed import distributed_c10d


def install() -> None:
    """Let `init_process_group("nccl")` open such a group, and `get_backend` call it nccl."""
    real_init, real_backend = dist.init_process_group, dist.get_backend
    stand_ins = ["fake"]

    def init(backend=None, *args, store=None, timeout=None, device_id=None, **kwargs):
        more = {"store": store, "timeout": timeout, "device_id": device_id, **kwargs}
        if backend != "nccl":
            return real_init(backend, *args, **more)
        world_size = kwargs.get("world_size", os.environ.get("WORLD_SIZE", "1"))
        if int(world_size) > 1:
            from emulated_gpu import several_processes

            stand_ins.append(several_processes.NAME)
            return several_processes.open_world(real_init, *args, **more)
        from torch.testing._internal.distributed.fake_pg import FakeStore

        return real_init("fake", *args, store=FakeStore(), **{"rank": 0, "world_size": 1, **kwargs})

    def backend_of(group=None):
        name = real_backend(group)
        return "nccl" if name in stand_ins else name

    dist.init_process_group = init
    dist.get_backend = distributed_c10d.get_backend = backend_of
