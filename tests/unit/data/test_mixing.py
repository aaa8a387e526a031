"""Shares by group: weights, temperature and UniMax, and the documents that follow from them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_nemo.config import Sampling, UserError
from geo_nemo.data.draws import EpochDraws, MixedDraws
from geo_nemo.data.groups import axis_of
from geo_nemo.data.mixing import Groups, Pool, check_epochs, tempered, unimax, weighted
from tests.unit.data.fakes import Document, MemorySplit, draws_of


def groups(**tokens) -> Groups:
    counts = np.array(list(tokens.values()))
    return Groups(tuple(tokens), (counts > 0).astype(int) * 10, counts)


def fractions(found: Groups, budget=1, **sampling) -> dict[str, float]:
    rules = {"weights": weighted, "temperature": tempered, "unimax_epochs": unimax}
    settings = Sampling(**sampling)
    rule = rules.get(settings.rule, tempered)
    values = rule(found, Pool(None, None, settings, 0, 1, budget, "s"))
    return dict(zip(found.names, (values / values.sum()).tolist(), strict=True))


def test_weights_are_fractions_of_tokens():
    assert fractions(groups(gb=900, no=100), weights={"gb": 1, "no": 3}) == {"gb": 0.25, "no": 0.75}


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(1, 0.8), (2, 2 / 3), (1e9, 0.5)],  # 400 : 100, then their roots 20 : 10, then equal
)
def test_temperature(temperature, expected):
    found = fractions(groups(gb=400, no=100, us=0), temperature=temperature)
    assert found["gb"] == pytest.approx(expected)
    assert found["us"] == 0


def test_unimax_gives_equal_fractions_under_the_cap():
    # 600 tokens: 100 each were 200; ke stops at 2 x 30, and 540 is left for two.
    found = fractions(groups(gb=1000, no=500, ke=30), budget=600, unimax_epochs=2)
    assert found == pytest.approx({"gb": 0.45, "no": 0.45, "ke": 0.1})


def unimax_oracle(tokens, budget, cap):
    """Water filling: raise a common level until the caps let no more than the budget through."""
    low, high = 0.0, float(budget)
    for _ in range(200):
        level = (low + high) / 2
        if sum(min(level, cap * t) for t in tokens) < budget:
            low = level
        else:
            high = level
    return [min(high, cap * t) / budget for t in tokens]


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8), st.floats(0.5, 8), st.floats(0, 1))
def test_unimax_is_water_filling(tokens, cap, part):
    budget = max(1, int(sum(tokens) * cap * part))
    if budget > sum(tokens) * cap:
        return
    found = fractions(
        groups(**{f"c{i}": t for i, t in enumerate(tokens)}), budget, unimax_epochs=cap
    )
    assert list(found.values()) == pytest.approx(unimax_oracle(tokens, budget, cap), abs=1e-9)


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"weights": {"gb": 1}}, "stages.s.sampling.weights has no weight for no: give one, or"),
        ({"weights": {"gb": 1, "no": 1, "fr": 1}}, "weights: fr is not in the store, which has gb"),
        ({"weights": {"gb": 1, "no": 1, "us": 1}}, "lists us, of which the stage has no text"),
        ({"unimax_epochs": 2}, "unimax_epochs=2 allows 1,200 tokens of text, and the stage takes"),
    ],
)
def test_mistakes_are_one_line(sampling, message):
    with pytest.raises(UserError) as caught:
        fractions(groups(gb=400, no=200, us=0), budget=1201, **sampling)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    way_out = "; sampling@stages.s.sampling=natural draws as the store is"
    assert (way_out in str(caught.value)) == ("weights" in sampling)


def test_more_epochs_than_allowed_name_the_worst():
    found = groups(gb=400, no=200)
    check_epochs("s", Sampling(max_epochs=4), found, np.array([1.0, 4.0]))
    check_epochs("s", Sampling(), found, np.array([1.0, 400.0]))
    with pytest.raises(UserError, match=r"stage s would see no 4\.10 times, above .*max_epochs=4"):
        check_epochs("s", Sampling(max_epochs=4), found, np.array([5.0, 4.1])[[1, 1]] * [0.5, 1])


def mixed(sizes, rates, window, key=5) -> MixedDraws:
    starts = np.concatenate([[0], np.cumsum(sizes)])
    documents = np.arange(starts[-1])[::-1].copy()
    return MixedDraws(documents, starts, np.array(rates) / np.sum(rates), key, window)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0.01, 1)), min_size=1, max_size=5),
    st.integers(1, 60),
    st.integers(0, 10**6),
)
def test_each_group_is_drawn_at_its_rate_and_epoch_after_epoch(drawn, window, key):
    sizes, rates = zip(*drawn, strict=True)
    draws = mixed(sizes, rates, window, key)
    windows = [draws.window(number) for number in range(12)]
    documents = np.concatenate([w.documents for w in windows])
    epochs = np.concatenate([w.epochs for w in windows])
    group_of = {d: g for g in range(len(sizes)) for d in group_documents(draws, g)}
    taken = Counter(group_of[d] for d in documents.tolist())
    for group, rate in enumerate(draws.rates):
        assert abs(taken[group] - 12 * window * rate) <= 1
        assert draws.drawn_before(12)[group] == taken[group]
    seen: Counter = Counter()
    for one in windows:
        # A window may hold the end of an epoch and the start of the next.
        for document, epoch in sorted(
            zip(one.documents, one.epochs, strict=True), key=lambda x: x[1]
        ):
            assert seen[document] == epoch
            seen[document] += 1
    for group in range(len(sizes)):
        counts = [seen[d] for d in group_documents(draws, group)]
        assert max(counts) - min(counts) <= 1
    assert len(epochs) == len(documents)


def group_documents(draws: MixedDraws, group: int) -> list[int]:
    return draws.documents[draws.starts[group] : draws.starts[group + 1]].tolist()


def test_a_large_group_is_gone_through_once_before_it_begins_again():
    draws = mixed([9_000, 500], [1, 0.5], 3_000)
    drawn = [draws.window(number) for number in range(10)]
    documents = np.concatenate([one.documents for one in drawn])
    epochs = np.concatenate([one.epochs for one in drawn])
    large = documents >= 500  # numbered backwards
    first, second = (documents[large & (epochs == epoch)] for epoch in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(500, 9_500))
    assert not np.array_equal(first, second)


def test_a_window_is_the_same_whatever_was_asked_before():
    draws, other = mixed([30, 7], [3, 1], 16), mixed([30, 7], [3, 1], 16)
    forward = [draws.window(n).documents.tolist() for n in range(6)]
    assert [other.window(n).documents.tolist() for n in reversed(range(6))][::-1] == forward
    assert len({tuple(w) for w in forward}) == 6


def test_groups_come_mixed_and_not_one_after_the_other():
    drawn = mixed([500, 500], [1, 1], 200).window(0).documents
    # 1000 documents, numbered backwards: below 500 is the second group.
    second = drawn < 500
    assert second.sum() == pytest.approx(100, abs=1)
    assert abs(int(second[:100].sum()) - 50) < 25


def test_a_group_of_one_token_is_drawn_as_others_are():
    documents = [Document([], [7], country="gb")] + [Document([], [7] * 9, country="no")] * 3
    sampling = Sampling(weights={"gb": 1, "no": 1})
    draws = draws_of(MemorySplit(documents), np.arange(4), sampling, 1, 40, 10_000, "s")
    # As many tokens of each: nine documents of one for one of nine.
    assert draws.rates.tolist() == pytest.approx([0.9, 0.1])


def test_weights_of_tokens_become_rates_of_documents():
    """Norway's documents are three times as long: a third as many give the same tokens."""
    documents = [Document([], [1000] * 30, country="no")] * 50
    documents += [Document([], [1000] * 10, country="gb")] * 50
    split = MemorySplit(documents)
    everything = np.arange(100)
    sampling = Sampling(weights={"gb": 1, "no": 1})
    draws = draws_of(split, everything, sampling, 1, 40, 10_000, "s")
    assert draws.rates.tolist() == pytest.approx([0.75, 0.25])  # gb, no
    assert draws.size == 40
    tokens: Counter = Counter()
    for number in range(50):
        for document in draws.window(number).documents:
            tokens[split.country[document]] += len(documents[document].body)
    assert tokens[0] / tokens[1] == pytest.approx(1, abs=0.02)
    assert draws.epochs(np.array([50, 50]), 2000).tolist() == pytest.approx([30, 10])


@pytest.mark.parametrize(
    ("counts", "weights", "most", "size"),
    [
        ((600, 400), {"gb": 1, "no": 1}, 16_384, 800),  # 400 of no are half of 800
        ((600, 400), {"gb": 1, "no": 1}, 500, 500),
        ((600, 4), {"gb": 1, "no": 1}, 16_384, 256),
    ],
)
def test_a_window_holds_no_group_twice_unless_it_would_be_tiny(counts, weights, most, size):
    documents = [Document([], [1000], country="gb")] * counts[0]
    documents += [Document([], [1000], country="no")] * counts[1]
    split = MemorySplit(documents)
    sampling = Sampling(weights=weights)
    draws = draws_of(split, np.arange(sum(counts)), sampling, 1, most, 10_000, "s")
    assert draws.size == size


def test_without_a_rule_documents_come_as_they_are():
    split = MemorySplit([Document([], [1000])] * 10)
    draws = draws_of(split, np.arange(10), Sampling(), 1, 4, 100, "s")
    assert isinstance(draws, EpochDraws)
    assert draws.windows_per_epoch == 3
    first = [d for n in range(3) for d in draws.window(n).documents.tolist()]
    assert sorted(first) == list(range(10))
    assert draws.window(3).epochs.tolist() == [1] * 4


def test_groups_of_any_field_are_mixed():
    years = (0, 2020, 2021)
    documents = [Document([], [1000] * 10, year=years[i % 3]) for i in range(900)]
    weights = {"unknown": 1, "2020": 2, "2021": 5}
    sampling = Sampling(by="year", weights=weights)
    draws = draws_of(MemorySplit(documents), np.arange(900), sampling, 7, 256, 1, "s")
    drawn = Counter(
        years[int(i) % 3] for number in range(40) for i in draws.window(number).documents
    )
    total = sum(drawn.values())
    for year in years:
        assert drawn[year] / total == pytest.approx(weights[str(year or "unknown")] / 8, abs=0.01)
    with pytest.raises(UserError, match=r"stages\.s\.sampling\.by: path is no category"):
        draws_of(
            MemorySplit(documents), np.arange(9), Sampling(by="path", temperature=2), 7, 9, 1, "s"
        )


def test_groups_are_counted_chunk_by_chunk(monkeypatch):
    from geo_nemo.data import mixing

    documents = [Document([1000] * (i % 3), [1000] * i, country=("gb", "no")[i % 5 == 0])
                 for i in range(20)]  # fmt: skip
    split = MemorySplit([*documents, Document([], [1000], country="us")])
    chosen = np.arange(20)
    found = {}
    for chunk in (3, 7, 100):
        monkeypatch.setattr(mixing, "_CHUNK", chunk)
        counted = Groups.count(split, chosen, axis_of(split, "country", "by"))
        assert counted.names == ("gb", "no", "us")
        assert counted.tokens.dtype == counted.documents.dtype == np.int64
        found[chunk] = counted.documents.tolist(), counted.tokens.tolist()
    no = [i for i in range(20) if i % 5 == 0]
    tokens = [sum(i % 3 + i for i in range(20) if (i in no) == there) for there in (False, True)]
    assert found[3] == found[7] == found[100] == ([16, 4, 0], [*tokens, 0])


def test_a_group_without_text_is_never_drawn():
    documents = [Document([], [1000] * 10, country="gb")] * 40
    documents += [Document([], [], country="ke")] * 5 + [Document([], [1000], country="us")] * 40
    split = MemorySplit([*documents, Document([], [1000], country="in")])
    draws = draws_of(split, np.arange(85), Sampling(temperature=1e9), 1, 20, 1000, "s")
    assert draws.rates.tolist() == pytest.approx([1 / 11, 0, 0, 10 / 11])  # gb, in, ke, us
    drawn = Counter(d for n in range(30) for d in draws.window(n).documents.tolist())
    assert set(drawn) == set(range(40)) | set(range(45, 85))
    assert draws.epochs(np.array([40, 0, 5, 40]), 440).tolist() == pytest.approx([1, 0, 0, 10])
    one = draws.epochs(np.array([1, 1, 1, 1]), 11)
    assert one.tolist() == pytest.approx([1, 0, 0, 10])


def test_the_budget_is_what_unimax_shares_out():
    documents = [Document([], [1000] * 10, country="gb")] * 100
    documents += [Document([], [1000] * 10, country="no")] * 10
    split = MemorySplit(documents)

    def rates(budget):
        sampling = Sampling(unimax_epochs=2)
        return draws_of(split, np.arange(110), sampling, 1, 40, budget, "s").rates.tolist()

    assert rates(300) == pytest.approx([0.5, 0.5])
    assert rates(1000) == pytest.approx([0.8, 0.2])
    with pytest.raises(UserError, match=r"stages\.s\.sampling\.unimax_epochs=2"):
        rates(10_000)


@pytest.mark.parametrize("number", [8, 9, 12])
def test_a_message_names_some_groups_and_counts_the_others(number):
    tokens = {f"c{i:02d}": 10 for i in range(number)} | {"gb": 10, "us": 0, "ve": 0}
    with pytest.raises(UserError) as caught:
        fractions(groups(**tokens), weights={"gb": 1})
    few = ", ".join(f"c{i:02d}" for i in range(8)) + (f" and {number - 8} more" * (number > 8))
    assert f"has no weight for {few}: give one" in str(caught.value)
    weights = dict.fromkeys(tokens, 1.0)
    with pytest.raises(UserError, match="lists us, ve, of which the stage has no text"):
        fractions(groups(**tokens), weights=weights)


def test_unimax_takes_all_that_it_may():
    assert fractions(groups(gb=100, no=50), budget=300, unimax_epochs=2) == pytest.approx(
        {"gb": 2 / 3, "no": 1 / 3}
    )


def test_a_window_may_be_empty_and_still_has_its_types():
    empty = mixed([5], [1], 0).window(0)
    assert len(empty.documents) == len(empty.epochs) == 0
    assert empty.documents.dtype == empty.epochs.dtype == np.int64
    full = mixed([5], [1], 7).window(0)
    assert full.documents.dtype == full.epochs.dtype == np.int64


def test_a_token_is_enough_for_a_fraction():
    assert fractions(groups(gb=1, no=0, us=3), temperature=1) == {"gb": 0.25, "no": 0, "us": 0.75}


def test_a_country_goes_by_any_of_its_names_but_once():
    assert fractions(groups(gb=10, no=30, us=0), weights={"uk": 3, "no": 1}) == {
        "gb": 0.75, "no": 0.25, "us": 0,
    }  # fmt: skip
    with pytest.raises(UserError) as caught:
        fractions(groups(gb=10, no=30), weights={"uk": 3, "gb": 1, "no": 1})
    assert str(caught.value) == "stages.s.sampling.weights names gb twice: uk, gb, no"
    # A source of that name is another than gb.
    assert fractions(groups(gb=10, uk=10), by="source", weights={"uk": 3, "gb": 1}) == {
        "gb": 0.25, "uk": 0.75,
    }  # fmt: skip


def test_a_group_of_one_document_has_its_rate():
    documents = [Document([], [1000] * 40, country="gb")] + [Document([], [1000], country="no")] * 9
    sampling = Sampling(weights={"gb": 1, "no": 1})
    draws = draws_of(MemorySplit(documents), np.arange(10), sampling, 1, 40, 100, "s")
    assert draws.rates.tolist() == pytest.approx([1 / 41, 40 / 41])
