"""`python -m benchmarks.gpu_report.probe machine|linear|attention`: what is there, one layer alone.

Each layer is compared with plain PyTorch on a CPU; a line for each, and exit 1 where one is wrong.
"""

import subprocess
import sys
from itertools import pairwise

import torch

from benchmarks.machine import installed

# Of the output's norm. BF16 keeps 8 bits, and a sum rounds once more. e4m3 keeps 4 bits: a rounded
# number is off by 2^-4 at most and 0.026 on average (root mean square), a product of two by 0.037.
ALLOWED = {"bf16": 0.01, "fp8": 0.06, "attention": 0.02}


def machine() -> bool:
    """The GPU, its driver, and the versions of what computes on it, in a line."""
    import platform

    chip = torch.cuda.get_device_properties(0)
    told = [
        f"{chip.name}, {chip.total_memory / 2**30:.0f} GiB, {chip.major}.{chip.minor}",
        f"driver {driver()}", f"torch {torch.__version__}", f"CUDA {torch.version.cuda}",
        f"cuDNN {torch.backends.cudnn.version()}",
        *(f"{name} {installed(name) or 'none'}"
          for name in ("transformer-engine", "megatron-core", "transformers")),
        f"Python {platform.python_version()}",
    ]  # fmt: skip
    print("; ".join(told))
    return True


def driver() -> str:
    """NVIDIA's driver, or none where nvidia-smi cannot tell."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "none"
    return (said.split() or ["none"])[0]


def linear() -> bool:
    """A linear layer in bf16, and in each FP8 recipe that the chip has."""
    import transformer_engine.pytorch as te
    from transformer_engine.common import recipe

    recipes = {
        "bf16": None, "delayed": recipe.DelayedScaling(),
        "tensorwise": recipe.Float8CurrentScaling(), "blockwise": recipe.Float8BlockScaling(),
    }  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    given = torch.randn(256, 256, generator=generator)
    weight = torch.randn(128, 256, generator=generator) / 16
    expected = given @ weight.t()
    right = True
    for name, each in recipes.items():
        try:
            layer = te.Linear(256, 128, bias=False, params_dtype=torch.bfloat16, device="cuda")
            with torch.no_grad():
                layer.weight.copy_(weight)
            for _ in range(2):  # the delayed recipe knows its scales behind the first
                with te.fp8_autocast(enabled=each is not None, fp8_recipe=each):
                    output = layer(given.cuda().bfloat16())
            output.float().sum().backward()
            seen = output.detach().float().cpu()
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            right = False
            continue
        off = float((seen - expected).norm() / expected.norm())
        allowed = ALLOWED["bf16" if each is None else "fp8"]
        right = right and off < allowed
        print(f"figure: {name}: off by {off:.4f} of the norm, allowed {allowed}")
    return right


def attention() -> bool:
    """Packed sequences of three documents, forward and backward; the kernel is named."""
    import transformer_engine.pytorch as te

    from geo_nemo.model.attention_backend import attention_backend

    borders = [0, 7, 100, 256]
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(256, heads, 64, generator=generator) for heads in (8, 2, 2))
    kv = (k, v)
    expected = torch.cat([
        torch.nn.functional.scaled_dot_product_attention(
            q[s:e].transpose(0, 1), *(x[s:e].repeat_interleave(4, 1).transpose(0, 1) for x in kv),
            is_causal=True,
        ).transpose(0, 1)
        for s, e in pairwise(borders)
    ]).flatten(1)  # fmt: skip
    layer = te.DotProductAttention(
        8, 64, num_gqa_groups=2, attention_dropout=0.0, qkv_format="thd",
        attn_mask_type="padding_causal",
    )  # fmt: skip
    given = [x.cuda().bfloat16().requires_grad_() for x in (q, k, v)]
    cu_seqlens = torch.tensor(borders, dtype=torch.int32).cuda()
    output = layer(
        *given, cu_seqlens_q=cu_seqlens, cu_seqlens_kv=cu_seqlens, max_seqlen_q=156,
        max_seqlen_kv=156,
    )  # fmt: skip
    output.float().sum().backward()
    off = float((output.detach().float().cpu() - expected).norm() / expected.norm())
    backend = attention_backend()
    allowed = ALLOWED["attention"]
    print(f"figure: attention: {backend}, off by {off:.4f} of the norm, allowed {allowed}")
    return off < allowed and backend in ("flash", "fused")


if __name__ == "__main__":
    sys.exit(not {each.__name__: each for each in (machine, linear, attention)}[sys.argv[1]]())
