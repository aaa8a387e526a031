"""Sizes from a model's shape, and every layout that does not fit it."""

import pytest

from geo_nemo.config import Model, Parallel, UserError
from geo_nemo.model.shape import check_layout, padded_vocab_size

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


BAD = {
    "heads": (Parallel(tensor=5), "num_attention_heads: 12 is not a multiple of parallel.tensor=5"),
    "groups": (Parallel(tensor=3), "num_query_groups: 4 is not a multiple of parallel.tensor=3"),
    "layers": (Parallel(pipeline=4), "num_layers=6 is not a multiple of parallel.pipeline=4"),
    "sequence": (Parallel(sequence_parallel=True), "sequence_parallel needs parallel.tensor above"),
    "gather": (
        Parallel(overlap_param_gather=True, distributed_optimizer=False),
        "overlap_param_gather needs parallel.distributed_optimizer=true",
    ),
    "gather without reduce": (
        Parallel(overlap_param_gather=True),
        "overlap_param_gather needs parallel.overlap_grad_reduce=true",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_layout_that_does_not_fit_is_refused(name):
    parallel, message = BAD[name]
    with pytest.raises(UserError, match=message):
        check_layout(MODEL, parallel, 640)


def test_an_ffn_or_vocabulary_that_does_not_divide_is_refused():
    odd = MODEL.model_copy(update={"ffn_hidden_size": 97})
    with pytest.raises(UserError, match="ffn_hidden_size: 97 is not a multiple of"):
        check_layout(odd, Parallel(tensor=2), 640)
    odd = MODEL.model_copy(update={"make_vocab_size_divisible_by": 1})
    with pytest.raises(UserError, match="vocabulary 641 padded to 641: 641 is not a multiple of"):
        check_layout(odd, Parallel(tensor=2), 641)


@pytest.mark.parametrize(
    "parallel",
    [
        Parallel(),
        Parallel(tensor=2, sequence_parallel=True),
        Parallel(tensor=4, pipeline=3),
        Parallel(overlap_grad_reduce=True, overlap_param_gather=True),
    ],
)
def test_a_layout_that_fits_is_taken(parallel):
    check_layout(MODEL, parallel, 640)
