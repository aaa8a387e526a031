"""Which documents and tokens are scored."""

import numpy as np
import pytest

from eval.documents import choose, scored_spans, token_hash
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.compose import Composer


def test_all_documents_are_chosen_by_default_and_none_twice_when_capped():
    country = np.array([0] * 70 + [1] * 20 + [2] * 9 + [3])
    assert choose(country, None, 0).tolist() == list(range(100))
    chosen = choose(country, 20, 0)
    assert len(set(chosen.tolist())) == 20
    # One each, and 16 shared over 69 + 19 + 8 + 0 by largest remainder: 11.5, 3.17, 1.33.
    assert np.bincount(country[chosen]).tolist() == [13, 4, 2, 1]


def test_the_choice_depends_on_the_seed_alone():
    country = np.arange(50) % 3
    assert (choose(country, 12, 5) == choose(country, 12, 5)).all()
    assert (choose(country, 12, 5) != choose(country, 12, 6)).any()


def test_fewer_documents_than_countries_are_still_as_many_as_asked():
    assert len(choose(np.arange(10), 3, 0)) == 3


def test_hash_sees_values_and_order_but_not_the_integer_type():
    assert token_hash(np.array([1, 2], np.uint16)) == token_hash(np.array([1, 2], np.int64))
    assert token_hash(np.array([1, 2])) != token_hash(np.array([2, 1]))


def spans(world, seq_length, max_tokens=None, fields=("url", "country", "continent")):
    split = world.store.split("test")
    tokenizer = world.store.tokenizer()
    told = Composer(MetadataPolicy(fields=fields), tokenizer)
    shown = [(told, split.record), (told, lambda index: None)]
    everything = np.arange(len(split))
    return scored_spans(split, split.country, everything, shown, seq_length, max_tokens)


def test_what_is_scored_is_what_fits_behind_the_longest_metadata(world):
    # gb: "URL: news.gb\nCOUNTRY: gb\nCONTINENT: Europe\n\n" is 44 bytes, the labels 6 + 8, and BOS
    # and EOS make 60 of the 81 tokens that 80 positions hold: 21 are left.
    documents = spans(world, 80)
    place = next(n for n, (c, h, title, body) in enumerate(world.documents)
                 if (c, h) == ("gb", "news.gb") and title and len(body) > 20)  # fmt: skip
    assert documents.title_tokens[place] == 8  # " ", 5 letters, two newlines
    assert documents.body_tokens[place] == 13
    assert not documents.whole[place]


def test_a_document_that_fits_is_scored_whole(world):
    documents = spans(world, 256)
    assert documents.whole.all()
    assert documents.body_tokens.tolist() == [1 + len(body) for *_, body in world.documents]


def test_max_tokens_caps_title_and_body_together(world):
    documents = spans(world, 256, max_tokens=10)
    assert documents.tokens.max() == 10
    untitled = next(n for n, (_, _, title, body) in enumerate(world.documents)
                    if not title and len(body) > 10)  # fmt: skip
    assert (documents.title_tokens[untitled], documents.body_tokens[untitled]) == (0, 10)


def test_documents_without_room_are_counted_and_no_room_at_all_is_an_error(world):
    documents = spans(world, 59)  # enough without a TITLE: label only
    assert 0 < len(documents) < 60
    assert sum(documents.skipped.values()) == 60 - len(documents)
    with pytest.raises(UserError, match="metadata fills all 30 positions"):
        spans(world, 30)
