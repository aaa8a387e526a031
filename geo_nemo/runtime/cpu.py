"""Lets Megatron-Core run unchanged on a CPU. The only file that knows how.

Megatron-Core names CUDA in a closed list of places. Nothing of torch is changed here; instead,
inside the loaded `megatron.core` modules, four things are rebound:

1. each module's global `torch`, to a proxy whose factories put `device="cuda"` on the CPU and whose
   `cuda` namespace has null streams and the CPU's random state;
2. the functions that reach CUDA's random state below that namespace;
3. the few methods that compare `param.type()` with `"torch.cuda.FloatTensor"` or call
   `tensor.cuda()`, which run under a mode that answers as a CUDA tensor would;
4. the Adam class, to `GroupStepAdam`, which counts steps in the parameter group as Apex's and
   Transformer Engine's FusedAdam do. Megatron-Core's path for torch's own AdamW cannot load a
   distributed optimizer, and lets all parameters share one step tensor when it does.

Where Transformer Engine or Apex is installed, Megatron-Core would call its kernels whatever the
device, so that they are kept out of the process, and what came in before is taken out of its
modules. The first import is a quick one: torch's compilers, W&B and TensorBoard, which
Megatron-Core would import for functions that nothing calls on a CPU, stay out (a third of a start's
CPU time).

What is merely slow there is seen to by `cpu_speed` and `cpu_groups`. `install()` may be called
again after later Megatron imports; it touches only what is new.
"""

import contextlib
import functools
import importlib
import inspect
import sys
import types
import warnings
from typing import Any

import torch
from torch.optim.adamw import adamw
from torch.overrides import TorchFunctionMode

from geo_nemo.runtime import cpu_groups, cpu_speed

_CPU = torch.device("cpu")
_NEEDED = (
    "megatron.core.dist_checkpointing.serialization",
    "megatron.core.dist_checkpointing.strategies.filesystem_async",
    "megatron.core.dist_checkpointing.strategies.fully_parallel",
    "megatron.core.dist_checkpointing.strategies.state_dict_saver",
    "megatron.core.dist_checkpointing.strategies.torch",
    "megatron.core.distributed.finalize_model_grads",
    "megatron.core.models.gpt",
    "megatron.core.optimizer.clip_grads",
    "megatron.core.optimizer.distrib_optimizer",
    "megatron.core.pipeline_parallel.p2p_communication",
    "megatron.core.pipeline_parallel.schedules",
)
_KEPT_OUT = ("transformer_engine", "apex", "amp_C")
# Out of the first import alone: who logs there imports them.
_LOGGERS = ("wandb", "torch.utils.tensorboard")
_USE_CUDA_METHODS = (
    # Tied embeddings under a pipeline: the last stage's copy is filled by an all-reduce.
    (
        "megatron.core.models.common.language_module.language_module",
        "LanguageModule",
        "setup_embeddings_and_output_layer",
    ),
    ("megatron.core.optimizer.clip_grads", None, "clip_grad_by_total_norm_fp32"),
    ("megatron.core.optimizer.distrib_optimizer", "DistributedOptimizer", "__init__"),
    (
        "megatron.core.optimizer.distrib_optimizer",
        "DistributedOptimizer",
        "_build_model_and_main_param_groups",
    ),
    (
        "megatron.core.optimizer.distrib_optimizer",
        "DistributedOptimizer",
        "get_parameter_state_dp_zero",
    ),
    ("megatron.core.optimizer.optimizer", "Float16OptimizerWithFloat16Params", "__init__"),
    # Its own name for the function, which it may have taken before the one above was wrapped.
    ("megatron.core.optimizer.optimizer", None, "clip_grad_by_total_norm_fp32"),
)


def install() -> None:
    """Rebind what the loaded `megatron.core` modules need to run on a CPU."""
    # An import of what stands for None is an ImportError.
    for name in _KEPT_OUT:
        sys.modules.setdefault(name, None)
    with _without_compilers(), warnings.catch_warnings():
        # Megatron-Core says once per module that Transformer Engine and Apex are absent.
        warnings.filterwarnings("ignore", message="Transformer Engine and Apex are not installed")
        for name in _NEEDED:
            importlib.import_module(name)
    for name, module in list(sys.modules.items()):
        if name.startswith("megatron.core") and getattr(module, "torch", None) is torch:
            module.torch = PROXY
    _use_cpu_random_state()
    _use_group_step_adam()
    _leave_out_transformer_engine()
    cpu_speed.install()
    cpu_groups.install()
    for module_name, class_name, name in _USE_CUDA_METHODS:
        owner = sys.modules[module_name]
        owner = getattr(owner, class_name) if class_name else owner
        original = vars(owner)[name]
        if not hasattr(original, "runs_with_cuda_methods"):
            setattr(owner, name, _with_cuda_methods(original))


class GroupStepAdam(torch.optim.Optimizer):
    """AdamW with the interface and the state of Apex's FusedAdam.

    `step` lives in the parameter group, `exp_avg` and `exp_avg_sq` in each parameter's state.
    The update is torch's fused CPU kernel (Loshchilov and Hutter, arXiv 1711.05101).
    """

    # Torch's own first import its compilers, to be left alone by them.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        adam_w_mode: bool = True,
        capturable: bool = False,
    ):
        if not adam_w_mode or capturable:
            raise ValueError("on a CPU: decoupled weight decay (AdamW) alone, and no CUDA graphs")
        settings = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        # A checkpoint keeps a group's settings, and FusedAdam asks for this one.
        super().__init__(params, {**settings, "bias_correction": True})

    @torch.no_grad()
    def step(self, closure=None):
        """Update every parameter that has a gradient, once."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            done = group.get("step", 0)
            group["step"] = done + 1
            for p in params:
                if "exp_avg" not in self.state[p]:
                    self.state[p]["exp_avg"] = torch.zeros_like(p)
                    self.state[p]["exp_avg_sq"] = torch.zeros_like(p)
            adamw(
                params,
                [p.grad for p in params],
                [self.state[p]["exp_avg"] for p in params],
                [self.state[p]["exp_avg_sq"] for p in params],
                [],
                [torch.tensor(float(done)) for _ in params],
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )


class _NullStream:
    """A stream on which everything has already happened."""

    def wait_stream(self, stream: Any) -> None: ...

    def wait_event(self, event: Any) -> None: ...

    def synchronize(self) -> None: ...


class _CudaNamespace(types.ModuleType):
    """`torch.cuda` as the Megatron modules see it; what is not named here is torch's own."""

    def __init__(self) -> None:
        super().__init__("torch.cuda on a CPU")
        stream = _NullStream()
        self.current_device = lambda: _CPU
        self.synchronize = lambda *args: None
        self.empty_cache = lambda: None
        self.Stream = lambda *args, **kwargs: stream
        self.current_stream = self.default_stream = lambda *args: stream
        self.stream = lambda _: contextlib.nullcontext()
        self.get_rng_state = lambda *args: torch.get_rng_state()
        self.set_rng_state = lambda state, *args: torch.set_rng_state(state)
        self.manual_seed = torch.manual_seed

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cuda, name)


class TorchProxy(types.ModuleType):
    """`torch` as the Megatron modules see it."""

    def __init__(self) -> None:
        super().__init__("torch on a CPU")
        self.cuda = _CudaNamespace()
        for name in ("arange", "empty", "empty_like", "full", "ones", "rand", "randn", "tensor",
                     "zeros", "zeros_like"):  # fmt: skip
            setattr(self, name, _on_cpu(getattr(torch, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _on_cpu(factory):
    """`factory` with a CUDA device read as the CPU, and without pinned memory."""

    @functools.wraps(factory)
    def make(*args, device=None, pin_memory=False, **kwargs):
        if device is not None:
            kwargs["device"] = _CPU if str(device).startswith("cuda") else device
        return factory(*args, **kwargs)

    return make


PROXY = TorchProxy()


class _CudaTensorMethods(TorchFunctionMode):
    """Answers `tensor.type()` with the CUDA type's name; `tensor.cuda()` is the tensor itself."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.cuda:
            return args[0]
        result = function(*args, **(kwargs or {}))
        if function is torch.Tensor.type and isinstance(result, str):
            return "torch.cuda." + result.rpartition(".")[2]
        return result


def _with_cuda_methods(method):
    inner = method.__func__ if isinstance(method, classmethod) else method

    @functools.wraps(inner)
    def call(*args, **kwargs):
        with _CudaTensorMethods():
            return inner(*args, **kwargs)

    call.runs_with_cuda_methods = True
    return classmethod(call) if isinstance(method, classmethod) else call


@contextlib.contextmanager
def _without_compilers():
    """Megatron-Core's fused functions, which a CPU path does not call, stay uncompiled.

    `torch.compile` imports its compilers when a function is decorated, long before a call.
    """
    compile_ = torch.compile
    absent = [name for name in _LOGGERS if name not in sys.modules]
    torch.compile = _uncompiled
    # An import of what stands for None is an ImportError, which Megatron expects.
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        torch.compile = compile_
        for name in absent:
            del sys.modules[name]


def _uncompiled(function=None, **_):
    return function if function is not None else _uncompiled


def _use_cpu_random_state() -> None:
    random = sys.modules["megatron.core.tensor_parallel.random"]
    random._get_cuda_rng_state = lambda *args, **kwargs: torch.get_rng_state()
    random._set_cuda_rng_state = lambda state, *args, **kwargs: torch.set_rng_state(state)


def _leave_out_transformer_engine() -> None:
    """Of modules that found it before `install()`: dummy gradients and norms that CUDA computes."""
    from megatron.core import utils
    from megatron.core.optimizer import clip_grads
    from megatron.core.tensor_parallel import layers

    layers.HAVE_TE = False
    clip_grads.multi_tensor_applier = utils.local_multi_tensor_applier
    clip_grads.l2_norm_impl = utils.local_multi_tensor_l2_norm


def _use_group_step_adam() -> None:
    optimizer = sys.modules["megatron.core.optimizer"]
    distributed_optimizer = sys.modules["megatron.core.optimizer.distrib_optimizer"]
    optimizer.Adam = GroupStepAdam
    optimizer.USING_PYTORCH_OPTIMIZER = False
    distributed_optimizer.Adam = GroupStepAdam
    distributed_optimizer.HAVE_APEX_OR_TE = True
    distributed_optimizer.USING_APEX_OPTIMIZER = True
