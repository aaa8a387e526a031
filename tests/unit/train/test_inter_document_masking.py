"""Megatron-Core 0.19's loader with inter-document masking, and its own attention, beside ours.

make test-megatron runs it; older versions have no such masking. On a CPU Megatron-Core's attention
takes no packed sequences: its peer is the one with a mask of the whole sequence, from its loader.
"""

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from megatron.core.datasets.gpt_dataset import GPTDatasetConfig
from torch.utils.data import default_collate

from geo_nemo.data.batches import Batch
from geo_nemo.model.context import positions
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.tiny import tiny_run

pytestmark = pytest.mark.skipif(
    "inter_document_masking" not in {each.name for each in fields(GPTDatasetConfig)},
    reason="Megatron-Core below 0.19: make test-megatron",
)
END, VOCAB_SIZE, LENGTH, ROWS = 3, 640, 64, 2
# fp32, a loss of some 6.5 nats (tests/unit/train/test_loss_oracle.py).
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """40 documents of 1 to 60 ids in Megatron's format, each with an end."""
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    random = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("megatron") / "documents"
    builder = IndexedDatasetBuilder(f"{path}.bin", dtype=np.int32)
    for length in random.integers(1, 60, 40):
        ids = [*random.integers(4, VOCAB_SIZE, length), END]
        builder.add_document(torch.tensor(ids), [len(ids)])
    builder.finalize(f"{path}.idx")
    return str(path)


@pytest.fixture
def rows(prefix, tmp_path, single_process):
    """The first rows of Megatron-Core's dataset; its settings are those of the call."""
    from megatron.core.datasets.blended_megatron_dataset_builder import (
        BlendedMegatronDatasetBuilder,
    )
    from megatron.core.datasets.gpt_dataset import GPTDataset

    def read(**changes):
        settings = {
            "reset_position_ids": False, "reset_attention_mask": False, "eod_mask_loss": True,
            "create_attention_mask": False, **changes,
        }  # fmt: skip
        config = GPTDatasetConfig(
            random_seed=1, sequence_length=LENGTH, blend=([prefix], None), split="1,0,0",
            path_to_cache=str(tmp_path), **settings,
            tokenizer=SimpleNamespace(
                eod=END, pad=-1, vocab_size=VOCAB_SIZE, unique_identifiers={"name": "ids"}
            ),
        )  # fmt: skip
        builder = BlendedMegatronDatasetBuilder(GPTDataset, [ROWS, 0, 0], lambda: True, config)
        dataset = builder.build()[0]
        return default_collate([dataset[i] for i in range(ROWS)])

    return read


def packed(micro_batch) -> dict:
    """As Megatron's training packs a micro-batch of such rows."""
    from megatron.core.utils import flatten_batch_for_packed_sequences

    return flatten_batch_for_packed_sequences(dict(micro_batch))


def as_ours(micro_batch) -> Batch:
    """The same rows as one of our batches, with the borders that Megatron-Core's loader found."""
    flat = packed(micro_batch)
    return Batch(
        tokens=flat["tokens"].numpy(), labels=flat["labels"].numpy(),
        loss_mask=flat["loss_mask"].numpy(), position_ids=flat["position_ids"].numpy(),
        group_ids=np.zeros((1, ROWS * LENGTH), np.int16),
        label_kinds=np.full((1, ROWS * LENGTH), 5, np.uint8),
        cu_seqlens=flat["cu_seqlens"][0].numpy(), max_seqlen=int(flat["max_seqlen"]),
        sample_ids=np.zeros(1, np.int64),
    )  # fmt: skip


def borders_of(tokens: np.ndarray) -> list[int]:
    """Behind each end, and around each row."""
    ends = [at + 1 for at, token in enumerate(tokens) if token == END]
    return sorted({0, *range(0, len(tokens) + 1, LENGTH), *ends})


def test_borders_positions_and_mask_are_those_of_documents_told_by_their_ends(rows):
    batch = as_ours(rows(inter_document_masking=True))
    flat = batch.tokens[0]
    borders = borders_of(flat)
    assert batch.cu_seqlens.tolist() == borders and len(borders) > 5
    assert batch.max_seqlen == max(np.diff(borders))
    starts = np.repeat(borders[:-1], np.diff(borders))
    assert batch.position_ids[0].tolist() == (np.arange(len(flat)) - starts).tolist()
    assert batch.loss_mask[0].tolist() == (flat != END).astype(float).tolist()


def test_by_default_it_trains_to_guess_the_next_document_s_first_token_which_ours_does_not(rows):
    batch = as_ours(rows(inter_document_masking=True, eod_mask_loss=False))
    assert (batch.tokens == END).any()
    assert (batch.loss_mask == 1).all()


def test_loss_and_gradients_are_those_of_its_own_attention_and_of_the_oracle(rows, single_process):
    from geo_nemo.train.engine import Engine

    run = tiny_run("store", "out")
    engine = Engine(run, VOCAB_SIZE, 3, torch.device("cpu"))
    batch = as_ours(rows(inter_document_masking=True))
    engine.zero_gradients()
    sums, counts, *_ = engine._reduce(engine.forward_backward([batch]))
    ours = float(sums.sum() / counts.sum())
    gradients = {name: w.main_grad.double() for name, w in engine.module.named_parameters()}

    masked = rows(reset_position_ids=True, reset_attention_mask=True, create_attention_mask=True)
    assert torch.equal(masked["tokens"].view(1, -1), torch.from_numpy(batch.tokens))
    theirs, their_gradients = by_megatron(run, engine.module, masked)
    weights = {name: w.detach().double() for name, w in engine.module.named_parameters()}
    exact, exact_gradients, _ = batch_loss_and_gradients(weights, run.model, [batch])

    assert ours == pytest.approx(exact, rel=TOLERANCE)
    assert ours == pytest.approx(theirs, rel=TOLERANCE)
    for name, gradient in their_gradients.items():
        assert (gradients[name] - gradient).abs().max() < TOLERANCE, name
        assert (gradients[name] - exact_gradients[name]).abs().max() < TOLERANCE, name
    later = torch.ones(ROWS, 1, LENGTH, LENGTH, dtype=torch.bool).triu(1)
    leaked, _ = by_megatron(run, engine.module, masked | {"attention_mask": later})
    assert abs(leaked - exact) > 100 * TOLERANCE, "a leak between documents would not be seen"


def by_megatron(run, trained, micro_batch):
    """Loss and gradients of Megatron-Core's own GPTModel with the same weights, in fp32."""
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec

    from geo_nemo.model.build import transformer_config

    config = transformer_config(run.model, run.parallel, run.precision, torch.device("cpu"))
    stock = GPTModel(
        config, get_gpt_layer_local_spec(normalization="RMSNorm"), vocab_size=VOCAB_SIZE,
        max_sequence_length=LENGTH, position_embedding_type="rope",
        rotary_base=run.model.rotary_base, share_embeddings_and_output_weights=False,
    )  # fmt: skip
    ours = dict(trained.named_parameters())
    assert {name for name, _ in stock.named_parameters()} == ours.keys()
    with torch.no_grad():
        for name, weight in stock.named_parameters():
            weight.copy_(ours[name])
    names = ("tokens", "position_ids", "attention_mask")
    losses = stock(*(micro_batch[name] for name in names), labels=micro_batch["labels"])
    mask = micro_batch["loss_mask"]
    loss = (losses * mask).sum() / mask.sum()
    loss.backward()
    return float(loss), {name: w.grad.double() for name, w in stock.named_parameters()}


def test_it_divides_rows_among_ranks_and_not_documents(monkeypatch):
    """Transformer Engine's ring takes two chunks of each document from a rank, as ours gives."""
    from megatron.core import utils

    monkeypatch.setattr(torch.distributed, "get_world_size", lambda group: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda group: 0)
    row = {"tokens": torch.arange(16)[None], "cu_seqlens": torch.tensor([[0, 8, 16]])}
    theirs = utils.get_batch_on_this_cp_rank(
        row, is_hybrid_cp=False, cp_group=object(), use_per_sequence_balancing=True
    )
    assert theirs["tokens"][0].tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert positions(np.array([0, 8, 16]), 0, 2).tolist() == [0, 1, 6, 7, 8, 9, 14, 15]
