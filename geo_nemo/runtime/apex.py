"""NVIDIA's Apex, which is optional: what there is of it, and what it is here.

Megatron-Core 0.15.3 to 0.19 take three things of it, each behind an import of its own:

- `fused_weight_gradient_mlp_cuda`, a kernel that adds a weight's gradient to its buffer while it is
  multiplied: the only way for layers that are Megatron-Core's own, here the output layer.
- `FusedAdam`, and `amp_C` with its multi-tensor kernels: where Transformer Engine is missing.
- norms: of layers that are not Transformer Engine's; here none are.

The project `apex` on PyPI is another one, a toolkit for web pages.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

KERNEL = "fused_weight_gradient_mlp_cuda"
Kind = Literal["absent", "nvidia", "another"]


def apex_kind() -> Kind:
    """Whether what is installed as `apex` is NVIDIA's; it is not imported."""
    try:
        spec = find_spec("apex")
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return "absent"
    folders = spec.submodule_search_locations or ()
    inside = any((Path(folder) / "multi_tensor_apply").is_dir() for folder in folders)
    return "nvidia" if inside else "another"


def kernel_problem() -> str:
    """Why Apex's kernel for weight gradients is not to be used; empty where it is there."""
    import torch  # noqa: F401  (whose libraries the kernel is linked with)

    try:
        import fused_weight_gradient_mlp_cuda as kernel
    except ModuleNotFoundError:
        return "is not there"
    except ImportError as error:  # built for another torch or CUDA
        return f"does not import: {error}"
    return "" if hasattr(kernel, "wgrad_gemm_accum_fp32") else "is not Apex's"


def output_layer_fuses() -> bool:
    """Whether Megatron-Core's own layers can add gradients to their buffers on a GPU."""
    from megatron.core.tensor_parallel import layers

    return not kernel_problem() and layers._grad_accum_fusion_available
