"""NCCL between processes of this machine: gloo, on the same memory, seen as the host's."""

from datetime import timedelta

import emulated_cuda
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import AllgatherOptions
from torch.distributed import distributed_c10d

NAME = "emulated_nccl"
# What torch 2.13 calls a group's operation, and what gloo does.
_CALLS = {
    "all_gather_single": "_allgather_base",
    "reduce_scatter_single": "_reduce_scatter_base",
    "all_to_all_single": "alltoall_base",
} | {
    name: name
    for name in ("allgather", "allreduce", "allreduce_coalesced", "alltoall", "broadcast", "gather",
                 "recv", "reduce", "reduce_scatter", "scatter", "send")
}  # fmt: skip
# Several pairs of output and input in one call: one call of gloo for each.
_CALLS_OF_MANY = {
    "all_gather_single_coalesced": "_allgather_base",
    "reduce_scatter_single_coalesced": "_reduce_scatter_base",
}


def _on_host(given):
    """The same memory as the CPU's, of every tensor in the arguments of a call."""
    if isinstance(given, torch.Tensor):
        if not given.is_cuda:
            raise RuntimeError(f"No backend type associated with device type {given.device.type}")
        return emulated_cuda.alias(given.detach())
    if isinstance(given, list | tuple):
        return [_on_host(each) for each in given]
    return given


class Group(dist.ProcessGroup):
    """A group of gloo that takes tensors of the device, and as NCCL no others."""

    def __init__(self, store, rank: int, size: int, timeout: timedelta):
        super().__init__(rank, size)
        self._gloo = dist.ProcessGroupGloo(store, rank, size, timeout=timeout)

    def getBackendName(self):
        return NAME

    def size(self):
        return self._gloo.size()

    def rank(self):
        return self._gloo.rank()

    def barrier(self, *options, **named):
        return Works([self._gloo.barrier()])


class Works:
    """Of one or several operations: done when all are.

    As NCCL's, it may be waited for again, which Transformer Engine's ring does; a second wait for a
    message of gloo's is one for the next message.
    """

    def __init__(self, works):
        self._works = works

    def wait(self, *timeout):
        works, self._works = self._works, []
        return all([work.wait(*timeout) for work in works])

    def is_completed(self):
        return all(work.is_completed() for work in self._works)


def _named(name: str):
    def call(self, *args, **kwargs):
        return Works([getattr(self._gloo, name)(*map(_on_host, args), **kwargs)])

    return call


def _of_many(name: str):
    def call(self, outputs, inputs, *options):
        pairs = zip(_on_host(outputs), _on_host(inputs), strict=True)
        single = AllgatherOptions if name == "_allgather_base" else dist.ReduceScatterOptions
        return Works([getattr(self._gloo, name)(to, given, single()) for to, given in pairs])

    return call


for _ours, _gloo in _CALLS.items():
    setattr(Group, _ours, _named(_gloo))
for _ours, _gloo in _CALLS_OF_MANY.items():
    setattr(Group, _ours, _of_many(_gloo))


def register() -> None:
    """Let `init_process_group(NAME)` and `new_group` make such groups."""
    dist.Backend.register_backend(NAME, Group, devices=["cuda"])


def open_world(real_init, *args, **kwargs):
    """`init_process_group("nccl", ...)` of a job of several processes."""
    if NAME.upper() not in dist.Backend._plugins:
        register()
    kwargs.pop("device_id", None)
    world = real_init(NAME, *args, **kwargs)
    # Objects go through tensors of the group's device.
    distributed_c10d._get_object_coll_device = lambda group=None: "cuda"
    return world
