"""Megatron-Core's own builder makes our sequences, and its cache key knows the policy."""

import json

import numpy as np
import pytest

from geo_nemo.config import Data, MetadataPolicy, UserError
from geo_nemo.data.dataset import StageDataset
from geo_nemo.store import TokenStore
from tests.support.tiny import NO_METADATA


def config(store, **changes):
    from geo_nemo.train.megatron_dataset import PackedDatasetConfig

    settings = {
        "random_seed": 5,
        "sequence_length": 128,
        "blend_per_split": [([str(store)], None), None, None],
        "packing_window": 64,
    }
    return PackedDatasetConfig(**{**settings, **changes})


def build(made, sizes=(50, 0, 0)):
    from megatron.core.datasets.blended_megatron_dataset_builder import (
        BlendedMegatronDatasetBuilder,
    )

    from geo_nemo.train.megatron_dataset import PackedDataset

    return BlendedMegatronDatasetBuilder(PackedDataset, list(sizes), lambda: True, made).build()


def expected_sequences(store, split, documents, samples, policy):
    opened = TokenStore.open(store)
    return StageDataset(
        opened.split(split),
        Data(store=str(store), seq_length=128, packing_window=64),
        policy,
        opened.tokenizer(),
        documents,
        5,
        samples,
    )


def assert_same_sequences(built, sequences):
    assert len(built) == len(sequences)
    for index in range(len(sequences)):
        sequence, item = sequences[index], built[index]
        assert set(item) == set(sequence.__dataclass_fields__)
        for name, value in item.items():
            assert np.array_equal(value, getattr(sequence, name)), (index, name)


@pytest.mark.parametrize("policy", [MetadataPolicy(), NO_METADATA], ids=["metadata", "none"])
def test_sequences_equal_those_of_a_stage(tiny_store, single_process, policy):
    train, valid, test = build(config(tiny_store, policy=policy))
    assert valid is None and test is None
    documents = np.arange(TokenStore.open(tiny_store).split("train").num_documents)
    assert_same_sequences(train, expected_sequences(tiny_store, "train", documents, 50, policy))


def test_each_split_reads_its_own_documents(tiny_store, single_process):
    blend = [([str(tiny_store)], None), None, ([str(tiny_store)], None)]
    _, _, test = build(config(tiny_store, blend_per_split=blend), (50, 0, 20))
    documents = np.arange(TokenStore.open(tiny_store).split("test").num_documents)
    assert_same_sequences(
        test, expected_sequences(tiny_store, "test", documents, 20, MetadataPolicy())
    )


def test_a_blend_of_two_stores_draws_from_both_by_weight(tiny_store, single_process, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny_store, other)
    blend = [([str(tiny_store), str(other)], [0.75, 0.25]), None, None]
    train, _, _ = build(config(tiny_store, blend_per_split=blend), (40, 0, 0))
    assert len(train) == 40
    assert np.bincount(train.dataset_index).tolist() == [30, 10]
    assert train[0]["tokens"].shape == (128,)


def key_of(store, **changes):
    (train, _, _) = build(config(store, **changes))
    description = json.loads(train.unique_description)
    return train.unique_description_hash, description


def test_the_key_of_the_cache_differs_by_everything_that_the_sequences_depend_on(
    tiny_store, single_process
):
    same, description = key_of(tiny_store)
    assert key_of(tiny_store)[0] == same
    assert description["policy_hash"] == MetadataPolicy().hash()
    changed = [
        {"policy": NO_METADATA},
        {"policy": MetadataPolicy(dropout=0.1)},
        {"random_seed": 6},
        {"sequence_length": 64},
        {"packing_window": 32},
        {"packing": "concat"},
        {"prefix_fragments": False},
        {"stage": "cooldown"},
    ]
    keys = [key_of(tiny_store, **change)[0] for change in changed]
    assert len({same, *keys}) == len(changed) + 1


def test_a_division_of_its_own_is_refused(tiny_store, single_process):
    """`blend` with `split` would cut the store's train documents into a test set."""
    with pytest.raises(UserError, match=r"a token store has splits of its own.*blend_per_split"):
        config(tiny_store, blend_per_split=None, blend=([str(tiny_store)], None), split="9,1,0")
