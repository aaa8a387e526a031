"""Sizes that follow from a model's shape."""

import pytest

from geo_nemo.config import Model
from geo_nemo.model.shape import padded_vocab_size

MODEL = Model(
    num_layers=6,
    hidden_size=48,
    num_attention_heads=12,
    num_query_groups=4,
    ffn_hidden_size=96,
)


@pytest.mark.parametrize(
    ("size", "padded"), [(1, 128), (127, 128), (128, 128), (129, 256), (128_256, 128_256)]
)
def test_the_vocabulary_is_padded_up_to_its_multiple(size, padded):
    assert padded_vocab_size(MODEL, size) == padded
