"""NVIDIA's Apex, which is optional: what there is of it, and what it is here.

Megatron-Core 0.15.3 to 0.19 take three things of it, each behind an import of its own:

- `fused_weight_gradient_mlp_cuda`, a kernel that adds a weight's gradient to its buffer while it is
  multiplied: the only way for layers that are Megatron-Core's own, here the output layer.
- `FusedAdam`, and `amp_C` with its multi-tensor kernels: where Transformer Engine is missing.
- norms: of layers that are not Transformer Engine's; here none are.

The project `apex` on PyPI is another one, a toolkit for web pages.
"""

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from geo_nemo.common.findings import Finding

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


def check_apex() -> Finding:
    """What is installed under that name, and whether its kernel can be used; for the doctor.

    It must be asked before the CPU runtime is installed, which keeps Apex out.
    """
    purpose = "parallel.gradient_accumulation_fusion takes the output layer along"
    kind = apex_kind()
    if kind == "another":
        return Finding(
            "apex",
            "note",
            "is another project of that name, PyPI's, and no use here",
            "pip uninstall apex; NVIDIA's is built from github.com/NVIDIA/apex, and is in NVIDIA's "
            "containers",
        )
    if kind == "absent":
        return Finding("apex", "note", f"absent, and not needed; on a GPU with it {purpose}")
    try:
        version = metadata.version("apex")
    except metadata.PackageNotFoundError:
        version = "NVIDIA's"
    problem = kernel_problem()
    if problem:
        text = f"{version}, without its kernel: {KERNEL} {problem}"
        mend = "build it with APEX_CPP_EXT=1 APEX_CUDA_EXT=1 against this torch"
        return Finding("apex", "note", " ".join(text.split())[:300], mend)
    return Finding("apex", "ok", f"{version}, with {KERNEL}: {purpose}")


def output_layer_fuses() -> bool:
    """Whether Megatron-Core's own layers can add gradients to their buffers on a GPU."""
    from megatron.core.tensor_parallel import layers

    return not kernel_problem() and layers._grad_accum_fusion_available
