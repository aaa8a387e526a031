"""Micro-batches on their way to the device: the values, and when a copy begins."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from megatron.core.packed_seq_params import PackedSeqParams

from geo_nemo.model.context import ContextRank
from geo_nemo.train.micro_batch import on_device, one_ahead, tensors_of, to_device
from tests.support.batches import ragged_batches

CPU = torch.device("cpu")


@pytest.fixture
def batches():
    return ragged_batches(seed=5, vocab_size=640, fractions=(0.3, 0.9, 0.0), length=128)


def same(first: dict, second: dict) -> bool:
    return all(map(torch.equal, tensors_of(first), tensors_of(second)))


@pytest.mark.parametrize("context", [None, ContextRank(1, 2, 16)])
def test_micro_batches_come_in_order_with_the_values_of_their_arrays(batches, context):
    given = list(on_device(batches, CPU, context))
    assert len(given) == len(batches)
    for tensors, batch in zip(given, batches, strict=True):
        assert same(tensors, to_device(batch, CPU, context))
        if context is None:
            assert np.array_equal(tensors["tokens"].numpy().ravel(), batch.tokens.ravel())
            borders = tensors["packed_seq_params"].cu_seqlens_q
            assert borders.tolist() == batch.cu_seqlens.tolist()


def test_transformer_engine_is_told_that_no_gaps_are_between_documents(batches):
    """From Megatron-Core 0.19 on, which passes it on."""
    params = to_device(batches[0], CPU, ContextRank(1, 2))["packed_seq_params"]
    named = "pad_between_seqs" in {each.name for each in fields(PackedSeqParams)}
    assert getattr(params, "pad_between_seqs", "absent") == (False if named else "absent")
    assert params.cu_seqlens_q_padded is params.cu_seqlens_q


def test_what_is_pinned_is_copied_unchanged(batches, monkeypatch):
    """The way to a GPU, with a device that keeps the CPU's memory."""
    pinned = []

    class Gpu:
        type = "cuda"

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda t: pinned.append(t) or t.clone())
    move = torch.Tensor.to
    monkeypatch.setattr(
        torch.Tensor,
        "to",
        lambda t, device, non_blocking=False: move(t, "cpu") if non_blocking else None,
    )
    for batch in batches:
        before = len(pinned)
        tensors = to_device(batch, Gpu())
        assert same(tensors, {**to_device(batch, CPU)})
        assert len(pinned) == before + len(list(tensors_of(tensors)))


def test_every_tensor_of_a_micro_batch_is_named_once(batches):
    tensors = to_device(batches[0], CPU)
    found = [id(t) for t in tensors_of(tensors)]
    packed = tensors["packed_seq_params"]
    wanted = [v for v in (*tensors.values(), *vars(packed).values()) if torch.is_tensor(v)]
    assert len(set(found)) == len(found)
    assert set(found) == {id(t) for t in wanted}


def test_the_next_copy_begins_before_one_is_given_and_no_more_than_that():
    log = []

    def begin(item):
        log.append(f"copy {item}")
        return item

    for item in one_ahead("abc", begin):
        log.append(f"compute {item}")
    assert log == ["copy a", "copy b", "compute a", "copy c", "compute b", "compute c"]


@pytest.mark.parametrize("items", ["", "a"])
def test_none_and_one_are_given_too(items):
    assert list(one_ahead(items, str.upper)) == list(items.upper())
