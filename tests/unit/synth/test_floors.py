"""Floors equal the brute-force probabilities of the text, with the host known and without."""

import math

import numpy as np
import pytest

from data_prep.synth.generate import Generator
from data_prep.synth.likelihood import Likelihood
from data_prep.synth.world import default_world
from tests.unit.synth.oracle import Oracle
from tests.unit.synth.worlds import TINY

STRENGTHS = [(0.9, 0.6), (0.0, 0.6), (0.7, 0.0), (0.0, 0.0), (1.0, 1.0)]


def generated(world, signal, style, count, seed=5):
    documents = list(Generator(world, seed, signal, style).documents(0, count))
    return documents, Likelihood(world, signal, style).floors(documents)


def oracle_floors(world, signal, style, documents):
    """Rows of title, host known, country known, continent known, nothing known; in nats."""
    oracle = Oracle(world, signal, style)
    titles = oracle.titles()
    country = np.array(world.host_country)
    continent = np.array(world.continents)[country]
    tables = {}
    rows = []
    for document in documents:
        # A title that told two things would need their mixture; it must tell one.
        ((topic, thing), p_title), *others = titles[document.title].items()
        assert not others
        if (topic.name, thing) not in tables:
            tables[topic.name, thing] = oracle.sentences(topic, thing)
        derivations = list(oracle.derivations(document.body, tables[topic.name, thing]))
        assert len(derivations) == 1, document.body
        p = np.array([oracle.p_body(derivations, host) for host in range(len(world.hosts))])
        here = document.host
        mixtures = [
            p[here],
            p[country == country[here]].mean(),
            p[continent == continent[here]].mean(),
            p.mean(),
        ]
        rows.append(-np.log([p_title, *mixtures]))
    return np.array(rows)


def columns(floors):
    return np.stack(
        [
            floors.title_with,
            floors.body_with,
            floors.body_country,
            floors.body_continent,
            floors.body_without,
        ],
        axis=1,
    )


@pytest.mark.parametrize(("signal", "style"), STRENGTHS)
def test_floors_of_a_small_world_equal_brute_force(signal, style):
    documents, floors = generated(TINY, signal, style, 300)
    expected = oracle_floors(TINY, signal, style, documents)
    np.testing.assert_allclose(columns(floors), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("signal", "style"), [(0.9, 0.6), (1.0, 1.0)])
def test_floors_of_the_default_world_equal_brute_force_and_each_text_has_one_reading(signal, style):
    world = default_world()
    documents, floors = generated(world, signal, style, 40)
    expected = oracle_floors(world, signal, style, documents)
    np.testing.assert_allclose(columns(floors), expected, rtol=0, atol=1e-9)


def test_probabilities_of_all_texts_of_a_small_world_add_up_to_one():
    oracle = Oracle(TINY, signal=0.9, style=0.6)
    titles = oracle.titles()
    assert sum(p for readings in titles.values() for p in readings.values()) == pytest.approx(1)
    for topic in TINY.topics:
        for thing in topic.things:
            table = oracle.sentences(topic, thing)
            total = np.zeros(len(TINY.hosts))
            for body in oracle.bodies(topic, thing):
                derivations = list(oracle.derivations(body, table))
                total += [oracle.p_body(derivations, host) for host in range(len(TINY.hosts))]
            np.testing.assert_allclose(total, 1, atol=1e-9)


@pytest.mark.very_slow
def test_texts_come_as_often_as_their_probability_says():
    """Pearson's statistic of the titles and bodies of one host, against its chi-square law."""
    signal, style, host = 0.5, 0.4, 2
    oracle = Oracle(TINY, signal, style)
    topic, thing = TINY.topics[1], "heat"
    table = oracle.sentences(topic, thing)
    p = {
        body: oracle.p_body(list(oracle.derivations(body, table)), host)
        for body in oracle.bodies(topic, thing)
    }
    documents, _ = generated(TINY, signal, style, 60_000)
    seen = [d.body for d in documents if d.host == host and d.title == "The heat"]
    assert len(seen) == pytest.approx(60_000 / 4 / 4, rel=0.1)
    counts = dict.fromkeys(p, 0)
    for body in seen:
        counts[body] += 1
    # Rare texts are counted as one cell, so that every cell expects at least five.
    common = [body for body in p if p[body] * len(seen) >= 5]
    cells = [(counts[body], p[body] * len(seen)) for body in common]
    rest = len(seen) - sum(count for count, _ in cells)
    cells.append((rest, len(seen) - sum(expected for _, expected in cells)))
    statistic = sum((count - expected) ** 2 / expected for count, expected in cells)
    freedom = len(cells) - 1
    assert freedom > 50
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom)


def test_without_signal_the_facts_tell_nothing_of_the_country():
    _, floors = generated(default_world(), 0.0, 0.6, 200)
    np.testing.assert_allclose(floors.gain_facts, 0, atol=1e-12)
    np.testing.assert_allclose(
        floors.body_without - floors.body_with, floors.gain_style, atol=1e-12
    )


def test_without_signal_and_style_metadata_is_worth_nothing():
    _, floors = generated(default_world(), 0.0, 0.0, 200)
    np.testing.assert_allclose(floors.body_with, floors.body_without, atol=1e-12)


def test_default_settings_are_worth_four_nats_a_document_and_never_more_than_the_ceiling():
    world = default_world()
    _, floors = generated(world, 0.9, 0.6, 2000)
    gain = floors.body_without - floors.body_with
    assert gain.mean() > 4.0
    assert gain.max() <= math.log(len(world.hosts)) + 1e-9
    assert floors.gain_facts.mean() > 2.8  # of ln 18 = 2.89
    np.testing.assert_array_equal(floors.title_with, floors.title_without)


def test_certain_signal_tells_the_country_and_nothing_more():
    _, floors = generated(default_world(), 1.0, 0.0, 200)
    np.testing.assert_allclose(floors.gain_facts, math.log(18), atol=1e-9)
    np.testing.assert_allclose(floors.body_with, floors.body_country, atol=1e-9)
