"""What `torch.cuda` says of the emulated device: an H100's abilities, and memory of the host.

One stream, on which everything has already happened.
"""

import contextlib
import time

import emulated_cuda
import torch

# Small, so that tests of large models are left out, as on a small GPU.
MEMORY = 4 * 2**30


class Stream:
    """The only one."""

    cuda_stream = stream_id = device_index = priority = 0
    device_type = 1
    device = torch.device("cuda", 0)

    def __init__(self, *args, **kwargs): ...

    def wait_stream(self, stream): ...

    def wait_event(self, event): ...

    def synchronize(self): ...

    def query(self):
        return True

    def record_event(self, event=None):
        return event or Event()

    def __eq__(self, other):
        return isinstance(other, Stream)

    def __hash__(self):
        return 0


class Event:
    """A time of the host's clock."""

    def __init__(self, *args, **kwargs):
        self.seconds = 0.0

    def record(self, stream=None):
        self.seconds = time.perf_counter()

    def wait(self, stream=None): ...

    def query(self):
        return True

    def synchronize(self): ...

    def elapsed_time(self, other):
        return (other.seconds - self.seconds) * 1e3


class Properties:
    """Of the device, as `torch.cuda.get_device_properties` has them."""

    name = "Emulated H100"
    major, minor = 9, 0
    total_memory = MEMORY
    multi_processor_count = 132
    shared_memory_per_block_optin = 232448
    uuid = "none"
    warp_size = 32
    L2_cache_size = 50 << 20
    max_threads_per_multi_processor = 2048


class _Context:
    """Of a device or of a stream: there is one of each."""

    def __init__(self, chosen=None): ...

    def __enter__(self):
        return self

    def __exit__(self, *raised): ...


def _random_state(*args, **kwargs):
    return torch.random.get_rng_state()


def _set_random_state(state=None, *args, new_state=None, **kwargs):
    torch.random.set_rng_state(state if state is not None else new_state)


def _always(value=None):
    """A function of its own each time: torch's compilers tell them apart by identity."""
    return lambda *args, **kwargs: value


def install() -> None:
    """Put the device in the place of `torch.cuda`'s functions."""
    stream = Stream()
    told = {
        "is_available": True, "device_count": 1, "current_device": 0, "is_initialized": True,
        "current_stream": stream, "default_stream": stream, "get_device_properties": Properties,
        "get_device_name": Properties.name, "get_device_capability": (9, 0),
        "is_bf16_supported": True, "is_current_stream_capturing": False, "memory_stats": {},
        "can_device_access_peer": False, "get_arch_list": ["sm_90"], "utilization": 0,
        "mem_get_info": (MEMORY * 9 // 10, MEMORY),
    }  # fmt: skip
    replaced = {name: _always(value) for name, value in told.items()}
    for name in ("set_device", "synchronize", "empty_cache", "init", "_lazy_init", "ipc_collect",
                 "manual_seed_all", "seed"):  # fmt: skip
        replaced[name] = _always()
    for name in ("memory_allocated", "memory_reserved"):
        replaced[name] = lambda *args: emulated_cuda.live()
    for name in ("max_memory_allocated", "max_memory_reserved"):
        replaced[name] = lambda *args: emulated_cuda.peak()
    replaced |= {
        "reset_peak_memory_stats": lambda *args: emulated_cuda.reset_peak(),
        "get_rng_state": _random_state,
        "set_rng_state": _set_random_state,
        "manual_seed": lambda seed: torch.random.default_generator.manual_seed(seed),
        "default_generators": (torch.random.default_generator,),
        "_lazy_call": lambda function, **kwargs: function(),
        "device_of": lambda tensor: contextlib.nullcontext(),
        "Stream": Stream,
        "Event": Event,
        "device": _Context,
        "stream": _Context,
        "StreamContext": _Context,
    }
    for name, value in replaced.items():
        setattr(torch.cuda, name, value)
    torch.cuda.random.get_rng_state = _random_state
    torch.cuda.random.set_rng_state = _set_random_state
    for name in ("range_push", "range_pop", "mark"):
        setattr(torch.cuda.nvtx, name, _always())
    torch.cuda.nvtx.range = lambda *args, **kwargs: contextlib.nullcontext()
    _install_beside_cuda()


def _install_beside_cuda() -> None:
    """What other modules of torch say of CUDA."""
    import torch.cuda.nccl

    torch.version.cuda = "13.0"
    torch.cuda.nccl.version = _always((2, 28, 9))
    torch.backends.cuda.is_built = _always(True)
    torch.get_autocast_gpu_dtype = _always(torch.bfloat16)
    torch._C._cuda_getCurrentRawStream = _always(0)
    torch._C._cuda_clearCublasWorkspaces = _always()
    torch._C._cuda_setDevice = _always()
    torch._C._cuda_getDevice = _always(0)
    torch.Tensor.pin_memory = lambda self, *args: self
    torch.Tensor.record_stream = _always()
    # Its compilers would make kernels for the GPU.
    torch.compile = _uncompiled


def _uncompiled(function=None, *args, **kwargs):
    return function if function is not None else _uncompiled
