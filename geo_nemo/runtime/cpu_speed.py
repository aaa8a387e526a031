"""What Megatron-Core does on a CPU with more passes over memory than the work needs, with fewer.

1. gloo copies a buffer through memory of its own also for a group of one process, where a gather or
   a reduction has nothing to exchange.
2. Without Apex, gradients are scaled into a copy that is then copied back.
3. The largest logit of a position is found with its place, which nobody asks for.
4. Rotated queries and keys are copied to stand before the part of a head that is not rotated, also
   where there is none.
5. Without Apex's kernel, a weight's gradient is made apart and then added to the buffer: BLAS adds
   while it multiplies, where Megatron-Core's `gradient_accumulation_fusion` asks for that.

6. The host reads a row's borders once for queries and once for keys, in every layer, to give each
   document its rotary positions.

1 to 4 and 6 are the same to the bit; 5 rounds a sum of micro-batches in another order.
"""

import functools
import importlib
import types

import torch
import torch.distributed as dist


def install() -> None:
    """Rebind the functions above in the loaded `megatron.core` modules."""
    buffers = importlib.import_module("megatron.core.distributed.param_and_grad_buffer")
    for name in ("dist_all_gather_func", "dist_reduce_scatter_func"):
        collective = getattr(buffers, name)
        if not hasattr(collective, "skips_groups_of_one"):
            setattr(buffers, name, _skipped_alone(collective))
    clipping = importlib.import_module("megatron.core.optimizer.clip_grads")
    clipping.multi_tensor_scale_impl = scale_in_place
    clipping.l2_norm_impl = l2_norm
    loss = importlib.import_module("megatron.core.tensor_parallel.cross_entropy")
    loss.VocabParallelCrossEntropy.calculate_logits_max = staticmethod(_largest_logits)
    rope = importlib.import_module("megatron.core.models.common.embeddings.rope_utils")
    if not hasattr(rope._apply_rotary_pos_emb_bshd, "rotates_whole_heads"):
        rope._apply_rotary_pos_emb_bshd = _rotated(rope)
        rope._apply_rotary_pos_emb_thd = _rotated_row(rope)
    layers = importlib.import_module("megatron.core.tensor_parallel.layers")
    layers.fused_weight_gradient_mlp_cuda = types.SimpleNamespace(
        wgrad_gemm_accum_fp32=accumulate_weight_gradient
    )
    layers._grad_accum_fusion_available = True


def _skipped_alone(collective):
    """`collective(output, input, group=...)`, done by a copy at most where the group is of one.

    It is called within torch's coalescing manager, which takes what it returns for done.
    """

    @functools.wraps(collective)
    def call(output, given, *args, group=None, **kwargs):
        if dist.get_world_size(group) > 1:
            return collective(output, given, *args, group=group, **kwargs)
        if output.data_ptr() != given.data_ptr():
            output.copy_(given)
        return None

    call.skips_groups_of_one = True
    return call


def scale_in_place(chunk_size, noop_flag, tensor_lists, scale) -> None:
    """As amp_C.multi_tensor_scale: the first list by `scale` into the second, often the same."""
    for source, target in zip(*tensor_lists, strict=True):
        torch.mul(source, scale, out=target)


def l2_norm(chunk_size, noop_flag, tensor_lists, per_tensor) -> tuple[torch.Tensor, None]:
    """As amp_C.multi_tensor_l2norm, fp32 [1]; a norm of norms, which Python never sees."""
    norms = torch.stack([torch.norm(tensor) for tensors in tensor_lists for tensor in tensors])
    return torch.norm(norms).float().view(1), None


def _largest_logits(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [..., v] in fp32, and the largest of each position, [...]."""
    logits = logits.float()
    return logits, torch.amax(logits, dim=-1)


def _rotated(rope: types.ModuleType):
    """`rope._apply_rotary_pos_emb_bshd`, without a copy where whole heads are rotated."""
    original = rope._apply_rotary_pos_emb_bshd

    @functools.wraps(original)
    def apply(t, freqs, rotary_interleaved=False, mscale=1.0, **latent):
        # Latent attention's setting has another name from Megatron-Core 0.19 on.
        if any(latent.values()) or freqs.shape[-1] != t.shape[-1]:
            return original(t, freqs, rotary_interleaved, mscale=mscale, **latent)
        cos, sin = ((f(freqs) * mscale).to(t.dtype) for f in (torch.cos, torch.sin))
        return (t * cos) + (rope._rotate_half(t, rotary_interleaved) * sin)

    apply.rotates_whole_heads = True
    return apply


def _rotated_row(rope: types.ModuleType):
    """`rope._apply_rotary_pos_emb_thd`, by positions that are found on the device."""

    @functools.wraps(rope._apply_rotary_pos_emb_thd)
    def apply(t, cu_seqlens, freqs, rotary_interleaved=False, mscale=1.0, cp_group=None, **latent):
        places = places_in_documents(cu_seqlens, len(t), cp_group.rank(), cp_group.size())
        freqs = freqs.index_select(0, places)
        rotate = rope._apply_rotary_pos_emb_bshd
        return rotate(t.unsqueeze(1), freqs, rotary_interleaved, mscale=mscale, **latent).squeeze(1)

    return apply


def places_in_documents(
    cu_seqlens: torch.Tensor, length: int, rank: int, size: int
) -> torch.Tensor:
    """The place in its document of each position of a packed sequence, int64 [length].

    cu_seqlens: borders of the whole row. Of several ranks that share it each has chunks `rank` and
    2 * size - 1 - rank of the 2 * size equal ones of every document, and `length` positions.
    """
    borders = cu_seqlens.long() // size
    here = torch.arange(length, device=cu_seqlens.device)
    document = torch.searchsorted(borders, here, right=True) - 1
    place = here - borders[document]
    if size == 1:
        return place
    chunk = (borders[document + 1] - borders[document]) // 2
    second = (2 * size - 1 - rank) * chunk + place - chunk
    return torch.where(place < chunk, rank * chunk + place, second)


def accumulate_weight_gradient(
    inputs: torch.Tensor, output_gradient: torch.Tensor, main_gradient: torch.Tensor
) -> None:
    """main_gradient [o, i] += output_gradient.T [t, o] @ inputs [t, i], all in fp32."""
    main_gradient.addmm_(output_gradient.t(), inputs)
