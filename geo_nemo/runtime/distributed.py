"""Process groups: torch.distributed and Megatron-Core's parallel state, opened and closed."""

import atexit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from geo_nemo.config import Parallel
from geo_nemo.runtime.device import prepare_megatron
from geo_nemo.runtime.launcher import world_size

TIMEOUT = timedelta(minutes=10)


@contextmanager
def process_groups(
    parallel: Parallel, device: torch.device, seed: int, timeout: timedelta = TIMEOUT
) -> Iterator[None]:
    """Open every process group of the layout, seed the random states, close all at the end."""
    with world(device, timeout), model_parallel(parallel, seed):
        yield


@contextmanager
def world(device: torch.device, timeout: timedelta = TIMEOUT) -> Iterator[None]:
    """Join the processes of this job; a single one needs no port.

    timeout: after which a collective operation that does not end raises.
    """
    prepare_megatron(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if world_size() == 1:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    else:
        device_id = device if device.type == "cuda" else None
        dist.init_process_group(backend, timeout=timeout, device_id=device_id)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def model_parallel(parallel: Parallel, seed: int) -> Iterator[None]:
    """Divide the joined processes into Megatron-Core's groups."""
    from megatron.core import parallel_state, tensor_parallel

    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tensor,
        pipeline_model_parallel_size=parallel.pipeline,
        virtual_pipeline_model_parallel_size=(
            parallel.virtual_pipeline if parallel.virtual_pipeline > 1 else None
        ),
        context_parallel_size=parallel.context,
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
