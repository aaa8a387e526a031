"""How packed sequences are divided among context-parallel ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_nemo.model.context import PADDING, ContextRank, positions, sequence_order


def test_two_ranks_take_the_outer_and_the_inner_chunks_of_each_document():
    cu_seqlens = np.array([0, 5, 7], np.int32)
    borders, first = ContextRank(0, 2).divide(cu_seqlens)
    _, second = ContextRank(1, 2).divide(cu_seqlens)
    assert borders.tolist() == [0, 8, 12]
    # Document 0 is padded from 5 to 8 tokens, document 1 from 2 to 4.
    assert first.tolist() == [0, 1, PADDING, PADDING, 5, PADDING]
    assert second.tolist() == [2, 3, 4, PADDING, 6, PADDING]


def test_a_rank_s_tokens_are_padded_to_the_multiple_that_sequence_parallelism_needs():
    borders, origin = ContextRank(1, 2, multiple=8).divide(np.array([0, 5, 7], np.int32))
    assert borders.tolist() == [0, 8, 12, 16]
    assert len(origin) == 8
    assert origin[-2:].tolist() == [PADDING, PADDING]


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=12),
    size=st.integers(1, 5),
    multiple=st.sampled_from([1, 2, 4, 8]),
)
def test_every_token_is_on_one_rank_in_order_and_every_rank_has_as_many(lengths, size, multiple):
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    parts = [ContextRank(rank, size, multiple).divide(cu_seqlens) for rank in range(size)]
    borders = parts[0][0]
    assert borders.dtype == np.int32
    assert all((part[0] == borders).all() for part in parts)
    assert (np.diff(borders) % (2 * size) == 0).all()
    counts = {len(origin) for _, origin in parts}
    assert len(counts) == 1
    assert counts.pop() % multiple == 0
    gathered = np.concatenate([origin for _, origin in parts])
    whole = gathered[sequence_order(borders, size)]
    assert whole[whole != PADDING].tolist() == list(range(cu_seqlens[-1]))
    # Within a document's span there is padding behind its tokens only.
    for start, length in zip(borders, lengths, strict=False):
        assert (whole[start : start + length] != PADDING).all()


@pytest.mark.parametrize("size", [2, 4])
def test_the_division_is_that_of_megatron_s_rotary_positions(size):
    """A sequence whose tokens are their positions, rotated by rank, equals the whole one."""
    import torch
    from megatron.core.models.common.embeddings import rope_utils

    borders = np.array([0, 2 * size, 8 * size, 12 * size])
    frequencies = torch.arange(12 * size, dtype=torch.float64).view(-1, 1, 1, 1)
    for rank in range(size):
        mine = positions(borders, rank, size)
        split = torch.from_numpy(mine).split([int(n) // size for n in np.diff(borders)])
        seen = torch.cat(
            [rope_utils._get_thd_freqs_on_this_cp_rank(rank, size, x, frequencies) for x in split]
        )
        starts = np.repeat(borders[:-1], np.diff(borders))
        expected = (np.arange(12 * size) - starts)[mine]
        assert seen.flatten().tolist() == expected.tolist()
