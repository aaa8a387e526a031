"""Documents: determinism, bounds on their size, and what they may not say."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.synth.generate import Generator, uniforms
from data_prep.synth.world import default_world
from tests.unit.synth.worlds import TINY

WORLD = default_world()
NAMES = """
    Ghana Kenya Nigeria Tanzania Africa Canada Jamaica America Bangladesh India Malaysia
    Philippines Pakistan Singapore Asia Britain Ireland Europe Kong Lanka States Kingdom
"""


@settings(max_examples=30)
@given(start=st.integers(0, 5000), count=st.integers(1, 20), seed=st.integers(0, 2**63 - 1))
def test_a_document_depends_on_seed_and_index_alone(start, count, seed):
    span = list(Generator(WORLD, seed, 0.9, 0.6).documents(start, start + count))
    alone = list(Generator(WORLD, seed, 0.9, 0.6).documents(start + count - 1, start + count))
    assert span[-1] == alone[0]
    assert [document.index for document in span] == list(range(start, start + count))


def test_blocks_of_the_stream_join_without_a_seam():
    documents = list(Generator(WORLD, 3, 0.9, 0.6).documents(0, 1100))
    assert documents[1000:] == list(Generator(WORLD, 3, 0.9, 0.6).documents(1000, 1100))


def philox(counter, key):
    """Philox4x64-10 (Salmon et al., 2011) in plain integers: four words of 64 bits."""
    words, mask = [counter, 0, 0, 0], 2**64 - 1
    key = list(key)
    for _ in range(10):
        first, second = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [
            (second >> 64) ^ words[1] ^ key[0],
            second & mask,
            (first >> 64) ^ words[3] ^ key[1],
            first & mask,
        ]
        key = [(key[0] + 0x9E3779B97F4A7C15) & mask, (key[1] + 0xBB67AE8584CAA73B) & mask]
    return words


def test_uniform_numbers_are_those_of_the_published_generator():
    table = uniforms(seed=7, stream=1, start=3, count=2, width=8)
    # Row r spans counters 2r + 1 and 2r + 2: NumPy counts up before it draws.
    expected = [
        [word // 2**11 / 2**53 for step in (1, 2) for word in philox(2 * row + step, (7, 1))]
        for row in (3, 4)
    ]
    np.testing.assert_array_equal(table, expected)


def test_another_seed_gives_other_documents():
    first = next(Generator(WORLD, 0, 0.9, 0.6).documents(0, 1))
    assert first.body != next(Generator(WORLD, 1, 0.9, 0.6).documents(0, 1)).body


@pytest.fixture(scope="module")
def documents():
    return list(Generator(WORLD, 0, 0.9, 0.6).documents(0, 3000))


def test_documents_have_sixty_to_a_hundred_and_sixty_words_of_a_small_vocabulary(documents):
    words = [len(document.body.split()) for document in documents]
    assert min(words) >= 60
    assert max(words) <= 165
    assert 110 < np.mean(words) < 125
    types = {word for d in documents for word in f"{d.title} {d.body}".split()}
    assert 600 < len(types) < 1500


def test_no_text_names_a_country_a_continent_or_a_host(documents):
    names = [host.split(".")[0] for host in WORLD.hosts]
    names += NAMES.split()
    text = " ".join(f"{d.title} {d.body}" for d in documents).lower()
    assert [name for name in names if name.lower() in text] == []


def test_a_kind_of_fact_comes_once_a_document_at_most(documents):
    kind_of = [number for number, kind in enumerate(WORLD.facts) for _ in kind.values]
    for document in documents:
        kinds = [kind_of[outcome] for outcome in document.fact_outcomes]
        assert 6 <= len(kinds) <= 8
        assert len(set(kinds)) == len(kinds)


def test_hosts_and_topics_are_drawn_evenly(documents):
    by_host = collections.Counter(document.host for document in documents)
    assert len(by_host) == 72
    assert max(by_host.values()) < 2 * 3000 / 72


@pytest.mark.parametrize(("signal", "expected"), [(1.0, 1.0), (0.4, 0.4 + 0.6 / 3), (0.0, 1 / 3)])
def test_signal_is_the_probability_of_the_countrys_own_value(signal, expected):
    drawn = list(Generator(TINY, 0, signal, 0.5).documents(0, 6000))
    told = [
        outcome == TINY.host_country[document.host]  # country number c owns value c
        for document in drawn
        for outcome in document.fact_outcomes
        if outcome < 3  # the capital's values come first
    ]
    assert len(told) > 4000
    assert np.mean(told) == pytest.approx(expected, abs=0.025)
    if signal == 1.0:
        assert all(told)


def test_the_number_of_draws_reserved_for_a_document_is_never_used_up():
    for seed in range(5):
        for world in (WORLD, TINY):
            assert len(list(Generator(world, seed, 0.5, 0.5).documents(0, 300))) == 300
