"""Kernels of context parallelism: against loops over documents, and against attention over all."""

from itertools import pairwise

import pytest
import torch

BORDERS = [0, 4, 6, 16]  # of a rank that holds two parts of three documents


@pytest.fixture
def borders(kernels):
    return torch.tensor(BORDERS, dtype=torch.int32).cuda()


def halves(which):
    """Positions of the first or second half of each document, one by one."""
    places = []
    for start, end in pairwise(BORDERS):
        middle = start + (end - start) // 2
        places += list(range(middle, end) if which else range(start, middle))
    return places


@pytest.mark.parametrize("which", [0, 1])
def test_a_half_of_each_document_is_read(kernels, draw, borders, which):
    whole = draw(16, 2, 3)
    half = kernels.thd_read_half_tensor(whole, borders, which)
    assert torch.equal(half, whole[halves(which)])
    both = torch.stack([whole, -whole])
    assert torch.equal(kernels.thd_read_half_tensor(both, borders, which), both[:, halves(which)])


def test_a_document_of_an_odd_number_of_tokens_is_refused(kernels, draw):
    odd = torch.tensor([0, 3, 8], dtype=torch.int32).cuda()
    with pytest.raises(RuntimeError, match="even number"):
        kernels.thd_read_half_tensor(draw(8, 2, 3), odd, 0)


def test_log_sum_exp_of_second_halves(kernels, draw, borders):
    lse, more = draw(2, 16), draw(2, 8)
    before = lse.clone()
    kernels.thd_second_half_lse_correction(lse, more, borders, True)
    at = halves(1)
    expected = (before[:, at].double().exp() + more.double().exp()).log().float()
    torch.testing.assert_close(lse[:, at], expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(lse[:, halves(0)], before[:, halves(0)])
    assert torch.equal(kernels.thd_read_second_half_lse(lse, borders, True, 8), lse[:, at])


WAYS = [
    ("copy", "add"), ("add", "copy"), ("copy", "none"), ("none", "copy"), ("add", "none"),
    ("none", "add"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), WAYS)
def test_gradients_of_a_step_are_put_into_those_so_far(kernels, draw, borders, first, second):
    grad = draw(16, 2, 3)
    one = "none" in (first, second)
    new = draw(8 if one else 16, 2, 3)
    expected = grad.clone()
    for which, way in enumerate((first, second)):
        for place, at in enumerate(halves(which)):
            value = new[place] if one else new[at]
            if way != "none":
                expected[at] = value + (expected[at] if way == "add" else 0)
    kernels.thd_grad_correction(grad, new, borders, first, second)
    assert torch.equal(grad, expected)


def test_outputs_of_two_steps_are_the_attention_over_both(kernels, draw, borders):
    """The second step is of the second halves alone; both weighed by their softmax's sums."""
    scores, more = draw(2, 16, 5), draw(2, 8, 5)
    values, others = draw(5, 2, 3), draw(5, 2, 3)

    def attended(scores, values):
        return torch.einsum("htk,khd->thd", scores.softmax(-1), values)

    lse = torch.logsumexp(scores, -1)
    total = lse.clone()
    kernels.thd_second_half_lse_correction(total, torch.logsumexp(more, -1), borders, True)
    out = torch.zeros(16, 2, 3).cuda()
    kernels.thd_out_correction(out, attended(scores, values), total, lse, borders, False, True)
    kernels.thd_out_correction(
        out, attended(more, others), total, torch.logsumexp(more, -1), borders, True, True
    )
    expected = attended(scores, values)
    both = torch.cat([scores[:, halves(1)], more], -1)
    expected[halves(1)] = attended(both, torch.cat([values, others]))
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
