"""Weights that move linearly over a stage: counts against the integral of the line."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_nemo.config import Data, Sampling, Stage, Train, UserError
from geo_nemo.config.section import FREE
from geo_nemo.data.moving import MovingDraws
from geo_nemo.data.outline import outline_stages
from geo_nemo.data.parts import index_places
from geo_nemo.data.stage import build_stage_index
from geo_nemo.store import TokenStore
from tests.support.tiny import NO_METADATA, tiny_run
from tests.unit.data.fakes import Document, MemorySplit, draws_of

ENDS = {
    "weights": {"Africa": 1, "America": 3, "Asia": 2, "Europe": 2},
    "end_weights": {"Africa": 5, "America": 1, "Asia": 2, "Europe": 2},
}


def draws(first, last, windows, documents=100):
    starts = np.arange(len(first) + 1) * documents
    ends = (np.array(each, dtype=float) for each in (first, last))
    return MovingDraws(np.arange(starts[-1]), starts, *ends, 7, windows)


def test_a_window_lies_on_the_line_between_its_ends():
    """By hand: 8 documents of 16 fall to none over four windows, so 7, 5, 3 and 1 of each."""
    found = draws([8, 0], [0, 8], windows=4)
    counts = [
        [b - a for a, b in zip(found.drawn_before(n), found.drawn_before(n + 1), strict=True)]
        for n in range(6)
    ]
    assert counts == [[7, 1], [5, 3], [3, 5], [1, 7], [0, 8], [0, 8]]


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=5),
    st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_counts_are_the_integral_and_no_document_is_lost_or_comes_early(ends, windows):
    first, last = (np.array(each) for each in zip(*ends, strict=True))
    found = draws(first, last, windows, documents=30)
    seen = Counter()
    for number in range(windows + 3):
        before = np.array(found.drawn_before(number))
        moved = min(number, windows)
        integral = first * moved + (last - first) * moved**2 / (2 * windows)
        integral += last * max(number - windows, 0)
        # The offset adds less than a document, and rounding down takes less than one.
        assert (np.abs(before - integral) <= 1 + 1e-6).all()
        drawn = found.window(number)
        order = np.argsort(drawn.epochs, kind="stable")  # a window may hold several
        for document, epoch in np.stack([drawn.documents, drawn.epochs], axis=1)[order].tolist():
            assert seen[document] == epoch
            seen[document] += 1
        totals = np.bincount(np.array(list(seen.elements()), int) // 30, minlength=len(first))
        assert totals.tolist() == found.drawn_before(number + 1)
    for group in range(len(first)):
        each = [seen[d] for d in range(group * 30, group * 30 + 30)]
        assert max(each) - min(each) <= 1


@pytest.mark.parametrize(
    ("budget", "documents"),
    # A stage of 32 windows; the fewest documents that pack well; a window of all that there are.
    [(32 * 3_000, 300), (32 * 1_000, 256), (32 * 90_000, 4_096)],
)
def test_a_stage_has_windows_enough_to_move_in(budget, documents):
    """By hand: 10 tokens a document, and half of them of each country at one of the ends."""
    of = [Document([], [1000] * 10, country=("gb", "no")[n % 2]) for n in range(8_192)]
    sampling = Sampling(weights={"gb": 1, "no": 1}, end_weights={"gb": 3, "no": 1})
    found = draws_of(MemorySplit(of), np.arange(8_192), sampling, 1, 4_096, budget, "s")
    assert found.first.tolist() == pytest.approx([documents / 2] * 2)
    assert found.last.tolist() == pytest.approx([documents * 3 / 4, documents / 4])


def test_no_group_comes_twice_in_a_window_at_either_end():
    """By hand: of 300 documents half of a window's at first, so 600; a quarter of it at last."""
    of = [Document([], [1000] * 10, country="no" if n < 300 else "gb") for n in range(4_300)]
    sampling = Sampling(weights={"gb": 1, "no": 1}, end_weights={"gb": 3, "no": 1})
    found = draws_of(MemorySplit(of), np.arange(4_300), sampling, 1, 4_096, 32 * 90_000, "s")
    assert found.first.tolist() == pytest.approx([300, 300])
    assert found.last.tolist() == pytest.approx([450, 150])


def run_of(store, output, sampling, **data):
    stages = {"only": Stage(fraction=1, metadata=NO_METADATA, sampling=sampling)}
    train = Train(steps=400, global_batch_size=8, warmup_steps=0)
    settings = {"seq_length": 128, "packing_window": 512} | data
    return tiny_run(
        store, output, stages=stages, train=train, data=Data(store=str(store), **settings)
    )


@pytest.fixture(scope="module")
def built(tiny_store, tmp_path_factory):
    output = tmp_path_factory.mktemp("moving")
    run = run_of(tiny_store, output, Sampling(by="continent", **ENDS))
    store = TokenStore.open(tiny_store)
    split = store.split("train")
    index, _ = build_stage_index(run, store.hash, split, store.tokenizer(), "only")
    return run, store, index


def fractions_by_continent(index, split, first, last):
    text = np.zeros(len(split.continents))
    for number in range(first, last):
        for fragment in index.sequence(number):
            text[split.continent[fragment.document]] += fragment.text
    return text / text.sum(), text.sum()


def test_fractions_of_a_store_s_text_follow_the_line(built):
    """Tenths of the stage against the middle of each; a window's documents differ in length."""
    _, store, index = built
    split, samples = store.split("train"), 3200
    first, last = (
        np.array([of[name] for name in split.continents], float) / sum(of.values())
        for of in ENDS.values()
    )
    for start, stop in pairwise(range(0, samples + 1, samples // 10)):
        found, _ = fractions_by_continent(index, split, start, stop)
        middle = (start + stop) / 2 / samples
        # Six windows: weights go up by .06 at most, and a tenth's 150 documents differ in length.
        assert np.abs(found - (first + (last - first) * middle)).max() < 0.06
    whole, _ = fractions_by_continent(index, split, 0, samples)
    assert np.abs(whole - (first + last) / 2).max() < 0.005


def test_the_ledger_counts_what_the_sequences_hold(built):
    _, store, index = built
    split = store.split("train")
    for sequences in (1, 700, 3200):
        tokens = np.zeros(len(split.countries), int)
        for number in range(sequences):
            for fragment in index.sequence(number):
                tokens[fragment.country] += fragment.text
        assert index.ledger(sequences)[:, 2].tolist() == tokens.tolist()


def test_workers_plan_the_same_bytes_and_the_key_holds_the_end(built, tmp_path):
    run, store, _ = built
    split, name = store.split("train"), "only"

    def files(settings):
        (place,) = index_places(settings, store.hash, split, name)
        return place.path.name, {file.name: file.read_bytes() for file in place.path.iterdir()}

    other = run_of(store.root, tmp_path, run.stages[name].sampling, index_workers=2)
    build_stage_index(other, store.hash, split, store.tokenizer(), name)
    assert files(other) == files(run)
    still = run_of(store.root, tmp_path, Sampling(by="continent", weights=ENDS["weights"]))
    assert index_places(still, store.hash, split, name)[0].path.name != files(run)[0]


def test_the_plan_expects_the_middle(built):
    run, store, index = built
    outline = outline_stages(run, store.split("train"), store.tokenizer())["only"]
    split = store.split("train")
    whole, _ = fractions_by_continent(index, split, 0, 3200)
    expected = dict(zip(split.continents, whole.tolist(), strict=True))
    assert {g.name: g.fraction for g in outline.groups} == pytest.approx(expected, abs=0.03)


def test_groups_of_unequal_documents_get_fractions_of_tokens():
    documents = [Document([1], [5] * (40 if n % 2 else 4), country="gb" if n % 2 else "no")
                 for n in range(2000)]  # fmt: skip
    sampling = Sampling(weights={"gb": 1, "no": 3}, end_weights={"gb": 3, "no": 1})
    found = draws_of(MemorySplit(documents), np.arange(2000), sampling, 7, 500, 10**6, "s")
    tokens = np.array([41, 5]) * found.first
    assert tokens / tokens.sum() == pytest.approx([0.25, 0.75])
    assert (np.array([41, 5]) * found.last).sum() == pytest.approx(tokens.sum())


@pytest.mark.parametrize(
    ("sampling", "line"),
    [
        ({"weights": {"gb": 1, "no": 1}, "end_weights": {"gb": 1}}, "no stands in one of them"),
        ({"end_weights": {"gb": 1}}, "gb stands in one of them: give both"),
        ({"weights": {"gb": 1}, "end_weights": {"gb": 0}}, "greater than 0"),
        ({"weights": {"gb": 1}, "end_weights": {"gb": float("inf")}}, "finite"),
    ],
)
def test_ends_that_do_not_fit_are_one_line(sampling, line):
    with pytest.raises(ValueError, match=line):
        Sampling(**sampling)


def test_a_group_that_the_stage_has_not_is_one_line(tiny_store, tmp_path):
    ends = {name: {**weights, "Oceania": 1} for name, weights in ENDS.items()}
    run = run_of(tiny_store, tmp_path, Sampling(by="continent", **ends))
    store = TokenStore.open(tiny_store)
    with pytest.raises(UserError, match="Oceania is not in the store"):
        build_stage_index(run, store.hash, store.split("train"), store.tokenizer(), "only")


def test_without_an_end_the_key_is_that_of_before():
    assert FREE not in Sampling.model_fields["end_weights"].metadata
    assert Sampling(weights={"gb": 1}).canonical() == '{"weights": {"gb": 1.0}}'
