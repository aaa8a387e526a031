"""Runs under torchrun in two processes: what goes between them, and Transformer Engine's ring.

torchrun --nproc-per-node 2 -m tests.gpu_emulated.ring_worker OUTPUT
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist

LENGTHS = (4, 8, 20, 32)
HEADS, GROUPS, SIZE = 4, 2, 16


def exchanged(rank: int) -> dict[str, list]:
    """What each operation leaves on this rank."""
    mine = torch.full((4,), rank + 1.0).cuda()
    added, gathered, part = mine.clone(), torch.empty(8).cuda(), torch.empty(2).cuda()
    dist.all_reduce(added)
    dist.all_gather_into_tensor(gathered, mine)
    dist.reduce_scatter_tensor(part, torch.arange(4.0).cuda())
    received = torch.empty(4).cuda()
    works = dist.batch_isend_irecv(
        [dist.P2POp(dist.isend, mine, 1 - rank), dist.P2POp(dist.irecv, received, 1 - rank)]
    )
    for work in works * 2:  # each twice, as Transformer Engine's ring waits
        work.wait()
    objects = [None, None]
    dist.all_gather_object(objects, {"rank": rank})
    dist.barrier()
    return {
        "added": added.tolist(), "gathered": gathered.tolist(), "part": part.tolist(),
        "received": received.tolist(), "objects": objects, "backend": [dist.get_backend()],
    }  # fmt: skip


def held(rank: int) -> torch.Tensor:
    """Positions of the sequence that a rank holds: chunks r and 3 - r of each document."""
    borders = [0, *torch.tensor(LENGTHS).cumsum(0).tolist()]
    chunks = [
        torch.arange(start + place * size, start + (place + 1) * size)
        for start, end in pairwise(borders)
        for size in [(end - start) // 4]
        for place in (rank, 3 - rank)
    ]
    return torch.cat(chunks)


def ring(at: torch.Tensor) -> tuple[dict[str, float], list[int]]:
    """How far output and gradients are from attention to each document alone, by their norm.

    And how often borders are compared on the device: where nothing is said of gaps between
    documents, and where it is said that there are none. at: this rank's part of the sequence.
    """
    import transformer_engine.pytorch as te

    generator = torch.Generator().manual_seed(1)
    total = sum(LENGTHS)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator).bfloat16().float()

    exact = [drawn(total, heads, SIZE).requires_grad_() for heads in (HEADS, GROUPS, GROUPS)]
    upstream = drawn(total, HEADS * SIZE)
    parts = zip(*(tensor.split(LENGTHS) for tensor in exact), strict=True)
    alone = [
        torch.nn.functional.scaled_dot_product_attention(
            q.transpose(0, 1),
            *(x.repeat_interleave(HEADS // GROUPS, 1).transpose(0, 1) for x in (k, v)),
            is_causal=True,
        ).transpose(0, 1)
        for q, k, v in parts
    ]
    expected = torch.cat(alone).flatten(1)
    expected.backward(upstream)

    layer = te.DotProductAttention(
        HEADS, SIZE, num_gqa_groups=GROUPS, attention_dropout=0.0, qkv_format="thd",
        attn_mask_type="padding_causal", cp_group=dist.new_group([0, 1]), cp_global_ranks=[0, 1],
        cp_stream=torch.cuda.Stream(), cp_comm_type="p2p",
    )  # fmt: skip
    mine = [x.detach()[at].cuda().bfloat16().requires_grad_() for x in exact]
    borders = torch.tensor([0, *LENGTHS], dtype=torch.int32).cumsum(0, dtype=torch.int32).cuda()
    names = ("cu_seqlens_q", "cu_seqlens_kv", "cu_seqlens_q_padded", "cu_seqlens_kv_padded")
    longest = max(LENGTHS)
    compared = []
    for gaps in (None, False):
        with patch.object(torch, "equal", wraps=torch.equal) as equal:
            output = layer(
                *mine, **dict.fromkeys(names, borders), max_seqlen_q=longest,
                max_seqlen_kv=longest, pad_between_seqs=gaps,
            )  # fmt: skip
        compared.append(equal.call_count)
    output.backward(upstream[at].cuda().bfloat16())

    def off(seen, wanted):
        return float((seen.float().cpu() - wanted).norm() / wanted.norm())

    told = {"output": off(output.detach(), expected.detach()[at])}
    for name, seen, wanted in zip("qkv", mine, exact, strict=True):
        told[name] = off(seen.grad, wanted.grad[at])
    return told, compared


def main():
    dist.init_process_group("nccl")
    rank = dist.get_rank()
    off, compared = ring(held(rank))
    # Chunks of the whole sequence, as Megatron-Core 0.19 divides it with inter_document_masking.
    chunks = torch.arange(sum(LENGTHS)).view(4, -1)
    of_rows, _ = ring(chunks[[rank, 3 - rank]].flatten())
    told = exchanged(rank) | {"ring": off, "compared": compared, "of rows": of_rows}
    try:
        dist.all_reduce(torch.ones(2))
    except RuntimeError as refused:
        told["of the host"] = str(refused)
    (Path(sys.argv[1]) / f"told-{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
