"""Texts that begin alike are grouped, so that what they begin with runs once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eval.scorers.beginnings import alike

TEXTS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9), min_size=1, max_size=30)


@given(texts=TEXTS, least=st.integers(1, 6))
def test_every_text_is_in_one_group_and_begins_as_the_group_says(texts, least):
    texts = [np.array(text) for text in texts]
    found = alike(texts, least)
    assert sorted(place for places, _ in found for place in places) == [*range(len(texts))]
    for places, common in found:
        # The last token is left to be read: what follows it is asked for.
        assert all(len(texts[place]) > common for place in places)
        assert len({texts[place][:common].tobytes() for place in places}) == 1
        assert common == 0 or common * (len(places) - 1) >= least


def test_questions_of_a_country_share_its_metadata_and_the_rest_what_all_begin_with():
    start, gb, ke = [1] * 10, [2] * 30, [3] * 30
    texts = [[*start, *gb, 4], [*start, 5], [*start, *ke, 6], [*start, *gb, 7, 7], [*start, 8, 8],
             [*start, *ke, 9], [*start, 2, 9]]  # fmt: skip
    found = alike([np.array(text) for text in texts], 20)
    assert {(tuple(sorted(places.tolist())), common) for places, common in found} == {
        ((0, 3), 40), ((2, 5), 40), ((1, 4, 6), 10),
    }  # fmt: skip


def test_what_few_tokens_would_save_is_no_group():
    texts = [np.array(text) for text in ([1, 2, 3, 4], [1, 2, 3, 5], [6, 1], [6, 2])]
    ((places, common),) = alike(texts, 4)
    assert sorted(places.tolist()) == [0, 1, 2, 3] and common == 0


def test_texts_of_which_each_begins_the_next_are_grouped_without_end():
    texts = [np.ones(n, np.int64) for n in range(1, 3000)]
    assert sum(len(places) for places, _ in alike(texts, 64)) == 2999
