"""Which documents a window draws: each once an epoch, in an order of the epoch's own."""

import numpy as np
import pytest

from geo_nemo.data.draws import EpochDraws, MixedDraws

DOCUMENTS = np.arange(100, 140, dtype=np.uint32)


def epoch_of(draws: EpochDraws, number: int) -> list[int]:
    """The documents of an epoch in the order in which its windows draw them."""
    first = number * draws.windows_per_epoch
    windows = [draws.window(first + place) for place in range(draws.windows_per_epoch)]
    assert all((window.epochs == number).all() for window in windows)
    return [document for window in windows for document in window.documents.tolist()]


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_an_epoch_draws_every_document_once(size):
    draws = EpochDraws(DOCUMENTS, key=3, size=size)
    for number in range(3):
        assert sorted(epoch_of(draws, number)) == DOCUMENTS.tolist()


@pytest.mark.parametrize("size", [1, 7, 40])
def test_each_epoch_has_an_order_of_its_own(size):
    draws = EpochDraws(DOCUMENTS, key=3, size=size)
    orders = [tuple(epoch_of(draws, number)) for number in range(20)]
    assert len(set(orders)) == 20
    # Not one order that is turned or reversed: each document stands first about as often.
    assert len({order[0] for order in orders}) > 10


def test_groups_that_are_there_are_seen_as_often_as_any_document():
    draws = EpochDraws(DOCUMENTS, key=3, size=8)
    seen = draws.epochs(np.array([30, 0, 1, 9]), 60.0)
    assert seen.dtype == np.float64 and seen.tolist() == [1.5, 0.0, 1.5, 1.5]


def test_windows_of_two_epochs_hold_other_documents_together():
    draws = EpochDraws(DOCUMENTS, key=3, size=8)
    first, second = (
        {frozenset(epoch_of(draws, number)[i : i + 8]) for i in range(0, 40, 8)}
        for number in range(2)
    )
    assert not first & second


def test_another_key_is_another_order():
    one, other = (EpochDraws(DOCUMENTS, key, size=40) for key in (3, 4))
    assert epoch_of(one, 0) != epoch_of(other, 0)


def test_a_group_that_is_drawn_again_comes_in_a_new_order():
    draws = MixedDraws(
        documents=DOCUMENTS,
        starts=np.array([0, 8, 40]),
        rates=np.array([0.5, 0.5]),
        key=3,
        size=16,
    )
    drawn = [draws.window(number) for number in range(12)]
    documents = np.concatenate([window.documents for window in drawn])
    epochs = np.concatenate([window.epochs for window in drawn])
    sizes = {epoch: sum((documents < 108) & (epochs == epoch)) for epoch in set(epochs.tolist())}
    whole = [epoch for epoch, size in sizes.items() if size == 8]
    assert len(whole) >= 4
    # Windows hold eight of the small group, groups in random order: places inside a group's
    # epoch are compared through the group's own order.
    orders = {tuple(draws._order(0, epoch, 0).tolist()) for epoch in whole}
    assert len(orders) == len(whole)


def test_draws_over_other_documents_are_the_same_in_all_else():
    starts, rates = np.array([0, 2, 5]), np.array([0.5, 0.5])
    for draws in (EpochDraws(np.arange(5), 3, 2), MixedDraws(np.arange(5), starts, rates, 3, 2)):
        over = draws.over(np.arange(10, 15))
        assert over.documents.tolist() == [10, 11, 12, 13, 14]
        for number in range(4):
            assert (over.window(number).documents == draws.window(number).documents + 10).all()
