"""Engines on a GPU, Transformer Engine's names of weights, losses of sequences and documents."""

from itertools import pairwise

import numpy as np
import torch

from geo_nemo.config import Model, Parallel
from geo_nemo.data.batches import Batch
from tests.oracle.llama import document_nll
from tests.support.batches import ragged_batches
from tests.support.tiny import tiny_run

VOCAB_SIZE = 640
# Weights large enough that attention is sharp and losses differ between tokens by several nats: a
# leak between documents then moves a loss by far more than the rounding of bf16.
MODEL = Model(
    num_layers=2,
    hidden_size=64,
    num_attention_heads=4,
    num_query_groups=2,
    ffn_hidden_size=96,
    init_method_std=0.2,
)
# Transformer Engine fuses a norm with the linear layer behind it.
_FUSED = {
    "self_attention.linear_qkv.layer_norm_weight": "input_layernorm.weight",
    "mlp.linear_fc1.layer_norm_weight": "pre_mlp_layernorm.weight",
}


def engine(device, dtype, parallel=None):
    """A train engine of the small model on `device`."""
    from geo_nemo.train.engine import Engine

    run = tiny_run(
        "store",
        "out",
        device="gpu",
        model=MODEL,
        precision={"dtype": dtype},
        parallel=parallel or Parallel(),
    )
    return Engine(run, VOCAB_SIZE, 3, device)


def local_name(name: str) -> str:
    """The name that a weight has in the CPU's layer spec."""
    for fused, local in _FUSED.items():
        name = name.replace(fused, local)
    return name


def weights_of(made) -> dict[str, torch.Tensor]:
    """Weights by their CPU names, in double precision on the CPU."""
    named = made.module.named_parameters()
    return {local_name(name): w.detach().cpu().double() for name, w in named}


def gradients_of(made) -> dict[str, torch.Tensor]:
    """Gradients by the CPU names of their weights, in double precision on the CPU."""
    named = made.module.named_parameters()
    return {local_name(name): w.main_grad.cpu().double() for name, w in named}


def batches(seed=1, fractions=(0.02, 0.9, 0.0, 0.4)) -> list[Batch]:
    return ragged_batches(seed=seed, vocab_size=VOCAB_SIZE, fractions=fractions, length=128)


@torch.no_grad()
def packed_nll(made, batch: Batch) -> torch.Tensor:
    """-log p(label) of every position of the packed sequence, float64 [b * s], on the CPU."""
    from geo_nemo.train.micro_batch import to_device

    tensors = to_device(batch, made.device)
    losses = made.module(
        tensors["tokens"],
        tensors["position_ids"],
        None,
        labels=tensors["labels"],
        packed_seq_params=tensors["packed_seq_params"],
    )
    return losses.flatten().double().cpu()


def documents(batch: Batch) -> list[Batch]:
    """Each document of a packed batch as a batch of its own."""
    flat = {
        name: getattr(batch, name).reshape(-1)
        for name in Batch.__dataclass_fields__
        if name not in ("cu_seqlens", "max_seqlen", "sample_ids")
    }
    return [
        Batch(
            **{name: array[None, start:end] for name, array in flat.items()},
            cu_seqlens=np.array([0, end - start], np.int32),
            max_seqlen=int(end - start),
            sample_ids=np.zeros(1, np.int64),
        )
        for start, end in pairwise(batch.cu_seqlens)
    ]


def without_borders(batch: Batch) -> Batch:
    """The same sequence as one document: what a leak between documents would compute."""
    length = batch.tokens.size
    values = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    return Batch(**values | {"cu_seqlens": np.array([0, length], np.int32), "max_seqlen": length})


def oracle_nll(made, batch: Batch) -> torch.Tensor:
    """What plain PyTorch in double precision says of each document alone, float64 [b * s]."""
    weights = weights_of(made)
    return torch.cat(
        [
            document_nll(
                weights,
                MODEL,
                torch.from_numpy(document.tokens[0]),
                torch.from_numpy(document.labels[0]),
            )
            for document in documents(batch)
        ]
    )
