"""Process groups: torch.distributed and Megatron-Core's parallel state, opened and closed."""

import atexit
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from geo_nemo.common.stuck import give_up
from geo_nemo.config import Parallel
from geo_nemo.runtime.device import prepare_megatron
from geo_nemo.runtime.launcher import world_size

TIMEOUT = timedelta(minutes=10)


@contextmanager
def process_groups(
    parallel: Parallel, device: torch.device, seed: int, timeout: timedelta = TIMEOUT
) -> Iterator[None]:
    """Open every process group of the layout, seed the random states, close all at the end."""
    with world(device, timeout), model_parallel(parallel, seed, timeout):
        yield


@contextmanager
def world(device: torch.device, timeout: timedelta = TIMEOUT) -> Iterator[None]:
    """Join the processes of this job; a single one needs no port.

    timeout: after which a collective operation that does not end raises.

    A process that fails does not leave NCCL's groups: that would wait for the others, which wait
    for it, and its message would never be seen. The launcher ends them.
    """
    prepare_megatron(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if world_size() == 1:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    else:
        # Without device_id: with it torch makes one communicator for all sends of a group, which
        # then wait for each other, and pipelines were seen to hang (pytorch issue 148162).
        dist.init_process_group(backend, timeout=timeout)
    failed = True
    try:
        yield
        failed = False
    finally:
        if not failed or backend == "gloo" or dist.get_world_size() == 1:
            dist.destroy_process_group()
        else:
            give_up(lambda: True)


@contextmanager
def model_parallel(parallel: Parallel, seed: int, timeout: timedelta = TIMEOUT) -> Iterator[None]:
    """Divide the joined processes into Megatron-Core's groups, each with this timeout."""
    from megatron.core import parallel_state, tensor_parallel

    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tensor,
        pipeline_model_parallel_size=parallel.pipeline,
        virtual_pipeline_model_parallel_size=(
            parallel.virtual_pipeline if parallel.virtual_pipeline > 1 else None
        ),
        context_parallel_size=parallel.context,
        distributed_timeout_minutes=math.ceil(timeout / timedelta(minutes=1)),
        # Nothing here uses them on GPUs, and gloo finds its address by a node's name.
        create_gloo_process_groups=dist.get_backend() == "gloo",
    )
    try:
        tensor_parallel.model_parallel_cuda_manual_seed(seed)
        yield
    finally:
        parallel_state.destroy_model_parallel()


def ensure_single_process(device: torch.device, seed: int) -> None:
    """Open the process groups of one process, once, and close them when the program ends."""
    if dist.is_initialized():
        return
    stack = ExitStack()
    stack.enter_context(process_groups(Parallel(), device, seed))
    atexit.register(stack.close)
