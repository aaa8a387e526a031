"""Quality: literal measures, signals that fall as measures get worse, articles above junk.

Many texts at once have the measures that plain Python finds one by one.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.annotate.measures import MOST_TEXTS, Excerpt, Measures, excerpt, measures
from data_prep.annotate.quality import qualities
from data_prep.annotate.quality import score as scores
from data_prep.annotate.text import normal_text
from tests.unit.data_prep.annotate import plain_quality
from tests.unit.data_prep.annotate.plain_quality import Signals

NAMES = [field.name for field in dataclasses.fields(Measures)]

PERFECT = Signals(
    length=1500, word_length=5.0, letters=0.95, function=4, sentences=1.0, variety=0.9,
    repetition=0.0, symbols=0.0,
)  # fmt: skip
ARTICLE = (
    "The ministry of health said on Monday that two new clinics would open in the north before the "
    "rains begin.\n"
    "Nurses have been trained with help from the county, which pays for the work. A third "
    "clinic is to follow next year, once the road across the hills can be used by lorries.\n"
    "People in the villages welcomed the plan, but asked who would look after the buildings.\n"
    "“We were promised a school in 2019, and it still has no roof,” said Mary Atieno, who sells "
    "tomatoes near the market.\n"
    "The governor's office did not answer a request for comment. Opposition members called for an "
    "audit of earlier projects, of which six were never finished.\n"
)
# Each measure from best to worst.
WORSE = {
    "length": [1500, 800, 200, 60, 10],
    "word_length": [5.0, 3.6, 3.1, 2.0],
    "letters": [0.95, 0.8, 0.6, 0.55, 0.2],
    "function": [4, 2, 1, 0],
    "sentences": [1.0, 0.5, 0.2, 0.0],
    "variety": [0.9, 0.75, 0.65, 0.3],
    "repetition": [0.0, 0.05, 0.15, 0.5],
    "symbols": [0.0, 0.03, 0.09, 0.4],
}


def excerpt_of(text: str, language: str = "") -> Excerpt:
    return excerpt(text, text.encode(), language)


def quality(text: str) -> int:
    return qualities([excerpt_of(text)])[0]


def measure(text: str, language: str = "") -> Signals:
    """The one text's measures; None where one says nothing."""
    return signals_of(measures([excerpt_of(text, language)]), 0)


def signals_of(found: Measures, row: int) -> Signals:
    values = {name: float(getattr(found, name)[row]) for name in NAMES}
    return Signals(**{name: None if np.isnan(v) else v for name, v in values.items()})


def score(signals: Signals) -> int:
    values = dataclasses.asdict(signals)
    columns = {n: np.array([np.nan if v is None else v]) for n, v in values.items()}
    return int(scores(Measures(**columns))[0])


def test_a_perfect_text_has_a_hundred():
    assert score(PERFECT) == 100
    assert score(dataclasses.replace(PERFECT, function=None, word_length=None, variety=None)) == 100


def test_the_worst_text_has_the_floor():
    worst = Signals(0, 0.0, 0.0, 0, 0.0, 0.0, 1.0, 1.0)
    assert score(worst) == 5


@pytest.mark.parametrize("name", WORSE)
def test_a_worse_measure_gives_a_lower_score(name):
    scores = [score(dataclasses.replace(PERFECT, **{name: value})) for value in WORSE[name]]
    assert scores == sorted(set(scores), reverse=True)


def test_one_signal_weighs_as_is_stated():
    assert score(dataclasses.replace(PERFECT, letters=0.7)) == round(100 * 0.5**0.20)
    assert score(dataclasses.replace(PERFECT, sentences=0.4)) == round(100 * 0.5**0.15)
    assert score(dataclasses.replace(PERFECT, symbols=0.05)) == round(100 * 0.5**0.05)
    assert score(dataclasses.replace(PERFECT, word_length=8.5)) == round(100 * 0.5**0.10)


SIGNALS = st.builds(
    Signals,
    length=st.integers(0, 5000),
    word_length=st.floats(0, 4),  # rising; beyond 7 it falls again
    letters=st.floats(0, 1),
    function=st.integers(0, 8),
    sentences=st.floats(0, 1),
    variety=st.floats(0, 1),
    repetition=st.floats(0, 1),
    symbols=st.floats(0, 2),
)
RISING = ("length", "word_length", "letters", "function", "sentences", "variety")


@settings(max_examples=300, deadline=None)
@given(a=SIGNALS, b=SIGNALS)
def test_better_in_every_signal_is_never_scored_lower(a, b):
    best, worst = {}, {}
    for field in dataclasses.fields(Signals):
        pair = sorted((getattr(a, field.name), getattr(b, field.name)))
        low, high = pair if field.name in RISING else pair[::-1]
        best[field.name], worst[field.name] = high, low
    assert 0 <= score(Signals(**worst)) <= score(Signals(**best)) <= 100


def test_measures_of_a_small_text():
    found = measure("The cat sat. # be\nline two\nline two")
    assert found.length == 35
    assert found.word_length == pytest.approx((3 + 3 + 4 + 1 + 2 + 4 + 3 + 4 + 3) / 9)
    assert found.letters == pytest.approx(25 / 27)
    assert found.function == 1  # `The` is not `the`
    assert found.sentences == 0.0
    assert found.repetition == pytest.approx(8 / 33)
    assert found.symbols == pytest.approx(1 / 9)


def test_sentences_are_lines_by_their_characters():
    assert measure("1234567.\n90").sentences == 0.8
    assert measure("He said “yes.”\n").sentences == 1.0


def test_an_ellipsis_is_a_symbol_in_both_forms():
    assert measure("wait... what…").symbols == 1.0
    assert measure("a. b. c.").symbols == 0.0


def test_another_language_has_no_english_function_words():
    assert measure("Der Hund.", "de").function is None
    assert measure("The dog and the cat.", "en").function == 2


def test_a_script_without_spaces_has_no_words():
    found = measure("政府星期二宣布了一项新措施,以降低低收入家庭的电价。" * 3)
    assert (found.word_length, found.variety, found.function) == (None, None, None)
    assert found.length == 3 * 3 * 26
    assert measure("https://example.com/a-very-long-word-that-is-no-text").word_length == 52


def test_the_foot_of_a_long_text_is_seen():
    body = ARTICLE * 10
    assert measure(body).symbols == 0.0
    assert measure(body + "| # " * 50).symbols > 0.1


@pytest.mark.parametrize(
    "junk",
    ["Home | News | Sport | Weather\nSign in\nSubscribe\n" * 10, "click here " * 200,
     "1 2 3 " * 300, "{a: 1};\nvar x = '#';\n" * 30, "A", "....",
     "BUY NOW!!! $$$ >>> http://x.y <<<\n" * 20],
)  # fmt: skip
def test_junk_is_far_below_an_article(junk):
    assert quality(ARTICLE) >= 90
    assert quality(junk) <= 50


@settings(max_examples=200, deadline=None)
@given(start=st.text(max_size=60), count=st.integers(2, 6))
def test_a_line_said_again_is_never_better_than_another_one(start, count):
    lines = [f"{ARTICLE[i : i + 80].strip()} and so on." for i in range(count)]
    text, again = "\n".join([start, *lines]), "\n".join([start, *[lines[0]] * count])
    a, b = measure(text), measure(again)
    assert b.repetition >= a.repetition
    assert b.variety <= a.variety


@settings(max_examples=300, deadline=None)
@given(text=st.text(min_size=1, max_size=80))
def test_any_text_has_a_quality(text):
    text, _ = normal_text(text)
    if text:
        assert 0 <= quality(text) <= 100
        assert quality(text) == quality(text)


WORDS = (
    "the", "be", "The", "of", "town", "naïve", "...", "wait…", "“yes.”", "#", "{x|y}", "\n",
    "ends.\n", "The same line.\nThe same line.\n", "\t", "\u00a0", "\u2003", "\u1680", "\u3000",
    "x" * 70, "» ", "؟\n",
    "政府星期二宣布了一项新措施,以降低低收入家庭的电价。", "🙂",
)  # fmt: skip
TEXTS = st.one_of(
    st.text(min_size=1, max_size=80),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join),
    st.tuples(st.sampled_from(WORDS), st.integers(1, 700)).map(lambda of: f"{of[0]} " * of[1]),
    st.tuples(st.sampled_from(WORDS), st.integers(1, 700)).map(lambda of: of[0] * of[1] + ARTICLE),
)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.tuples(TEXTS, st.sampled_from(["", "en", "de"])), min_size=1, max_size=9))
def test_texts_together_have_the_measures_and_quality_that_each_has_in_plain_python(texts):
    texts = [(normal, lang) for text, lang in texts if (normal := normal_text(text)[0])]
    if not texts:
        return
    excerpts = [excerpt_of(*each) for each in texts]
    found, together = measures(excerpts), qualities(excerpts)
    for row, (text, language) in enumerate(texts):
        expected = plain_quality.measure(text, language)
        # A quotient of whole numbers below 2^13, or of two logarithms: a few roundings of 2^-53.
        ours = [float(getattr(found, name)[row]) for name in NAMES]
        theirs = [np.nan if (v := getattr(expected, n)) is None else v for n in NAMES]
        assert ours == pytest.approx(theirs, rel=1e-14, abs=1e-15, nan_ok=True)
        assert together[row] == plain_quality.score(expected)


def test_as_many_texts_as_may_be_given_at_once_do_not_change_each_other():
    texts = ["| " * (number % 17) + ARTICLE[number:] for number in range(MOST_TEXTS)]
    together = qualities([excerpt_of(text) for text in texts])
    assert together == [plain_quality.quality(text) for text in texts]
    assert len(set(together)) > 5
