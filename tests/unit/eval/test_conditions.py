"""Which record each condition shows."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.conditions import donors, generator, off_distribution
from eval.config import EvalConfig
from eval.plan import make_plan
from eval.report.inputs import read_evaluation
from eval.runner import FORMAT
from eval.shown import to_documents
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.data.conditions import cyclic_permutation, of_another, told_codes, told_values
from geo_nemo.metadata.fields import lines_of
from geo_nemo.metadata.record import MetadataRecord


@given(n=st.integers(2, 200), seed=st.integers(0, 2**32))
def test_the_shuffle_is_a_permutation_without_fixed_points(n, seed):
    permutation = cyclic_permutation(n, generator(seed, "x"))
    assert sorted(permutation) == list(range(n))
    assert not (permutation == np.arange(n)).any()


def test_the_shuffle_reaches_every_cycle_of_four_items_about_equally_often():
    rng = generator(0, "x")
    seen: dict[tuple, int] = {}
    for _ in range(6000):
        key = tuple(cyclic_permutation(4, rng).tolist())
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 6
    assert min(seen.values()) > 850 and max(seen.values()) < 1150


@settings(max_examples=200)
@given(country=st.lists(st.integers(0, 4), min_size=2, max_size=80), seed=st.integers(0, 1000))
def test_wrong_country_never_has_the_documents_country(country, seed):
    country = np.array(country)
    if len(np.unique(country)) < 2:
        with pytest.raises(UserError, match="wrong_country"):
            donors("wrong_country", country, seed, "documents")
        return
    shown = of_another(country, generator(seed, "x"))
    assert (country[shown] != country).all()


def test_wrong_country_draws_every_document_of_the_other_countries():
    country = np.array([0, 1, 0, 2, 1])
    rng = generator(0, "x")
    drawn = [set() for _ in country]
    for _ in range(300):
        for item, donor in enumerate(of_another(country, rng)):
            drawn[item].add(int(donor))
    assert drawn == [{1, 3, 4}, {0, 2, 3}, {1, 3, 4}, {0, 1, 2, 4}, {0, 2, 3}]


def test_with_shows_the_truth_and_without_shows_nothing():
    country = np.array([0, 1, 2])
    assert donors("with", country, 0, "documents").tolist() == [0, 1, 2]
    assert donors("without", country, 0, "documents") is None


def test_a_seed_gives_the_same_records_again_and_another_seed_others():
    country = np.arange(50) % 5
    for condition in ("shuffled", "wrong_country"):
        first = donors(condition, country, 3, "documents")
        assert (first == donors(condition, country, 3, "documents")).all()
        assert (first != donors(condition, country, 4, "documents")).any()


def test_one_document_cannot_be_shuffled():
    with pytest.raises(
        UserError, match="condition shuffled: shuffled needs two documents, there is 1: leave"
    ):
        donors("shuffled", np.array([0]), 0, "documents")


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        (("url",), [0, 0, 1, 1]),
        (("continent", "year"), [0, 0, 1, 1]),
        (("year",), [0, 1, 0, 2]),
        (("year", "source"), [0, 1, 0, 2]),
        (("source",), [0, 0, 0, 0]),
    ],
)
def test_what_is_wrong_is_the_country_or_else_the_values_that_are_told(fields, codes):
    records = [
        MetadataRecord("a.uk", "gb", "Europe", year=2019),
        MetadataRecord("b.uk", "gb", "Europe", year=2020),
        MetadataRecord("c.com", "us", "America", year=2019),
        MetadataRecord("c.com", "us", "America"),
    ]
    lines = lines_of(MetadataPolicy(fields=fields))
    found = told_codes(lines, 4, records.__getitem__).tolist()
    # Equal codes are all that counts, not which.
    assert [found.index(code) for code in found] == [codes.index(code) for code in codes]


PLACES = st.sampled_from([("", ""), ("gb", "Europe"), ("fr", "Europe"), ("ke", "Africa")])
RECORDS = st.lists(
    st.builds(
        lambda host, place, year: MetadataRecord(host, *place, year=year),
        st.sampled_from(["", "a.com", "b.com"]), PLACES, st.sampled_from([0, 2019, 2020]),
    ),
    min_size=2, max_size=30,
)  # fmt: skip


@settings(max_examples=300)
@given(
    records=RECORDS,
    fields=st.sampled_from([("url",), ("country",), ("continent",), ("year",), ("url", "year"),
                            ("url", "country", "continent")]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_what_is_told_wrong_is_a_value_and_not_the_document_s_own(records, fields, seed):
    lines = lines_of(MetadataPolicy(fields=fields))
    items = lines, len(records), records.__getitem__
    told, values = told_codes(*items), told_values(*items)
    origin = [line for line in lines if line.name != "year"] or lines

    def says_another(own: MetadataRecord, other: MetadataRecord) -> bool:
        pairs = [(line.value(own), line.value(other)) for line in origin]
        elsewhere = other.country not in ("", own.country) or fields == ("year",)
        return elsewhere and any(a and b and a != b for a, b in pairs)

    def silent(own: MetadataRecord) -> bool:
        return not any(line.value(own) for line in origin)

    possible = all(silent(own) or any(says_another(own, o) for o in records) for own in records)
    if len(set(told)) < 2 or not possible:
        with pytest.raises(UserError, match="wrong metadata needs documents that"):
            donors("wrong_country", told, seed, "documents", [values])
        return
    drawn = donors("wrong_country", told, seed, "documents", [values])
    for place, donor in enumerate(drawn.tolist()):
        own = records[place]
        assert donor == place if silent(own) else says_another(own, records[donor])


def test_where_every_record_says_another_value_the_draw_is_as_it_always_was():
    places = [("gb", "Europe"), ("ke", "Africa"), ("us", "America")]
    records = [MetadataRecord(f"{n % 7}.com", *places[n % 3]) for n in range(60)]
    items = lines_of(MetadataPolicy()), 60, records.__getitem__
    told = told_codes(*items)
    drawn = donors("wrong_country", told, 5, "documents", [told_values(*items)])
    assert drawn.tolist() == of_another(told, generator(5, "documents/wrong_country")).tolist()


def test_those_who_are_drawn_again_are_told_each_other_value_about_equally_often():
    places = [("gb", "Europe"), ("ke", "Africa"), ("", ""), ("us", "America")]
    records = [MetadataRecord("a.com", *place) for place in places]
    items = lines_of(MetadataPolicy(fields=("country",))), 4, records.__getitem__
    told, values = told_codes(*items), told_values(*items)
    drawn = np.array([
        donors("wrong_country", told, seed, "documents", [values]) for seed in range(900)
    ])  # fmt: skip
    for item, others in ((0, [1, 3]), (1, [0, 3]), (3, [0, 1])):
        counts = [(drawn[:, item] == other).sum() for other in others]
        assert sum(counts) == 900 and min(counts) > 390
    assert (drawn[:, 2] == 2).all()  # it has nothing to tell, so that nothing can be wrong


def test_one_wrong_field_is_another_value_of_that_field_for_every_model():
    records = [MetadataRecord("a.com", "gb", "Europe", year=2019),
               MetadataRecord("b.com", "ke", "Africa", year=2019),
               MetadataRecord("c.com", "us", "America"),
               MetadataRecord("d.com", "us", "America", year=2020)]  # fmt: skip
    composers = [
        SimpleNamespace(lines=lines_of(MetadataPolicy(fields=fields)))
        for fields in (("url", "year"), ("continent",))
    ]
    items = SimpleNamespace(record=records.__getitem__, country=np.array([0, 1, 2, 2]))
    for seed in range(20):
        config = SimpleNamespace(document_conditions=("other_year", "wrong_country"), seed=seed)
        shown = to_documents(items, np.arange(4), config, composers)
        assert shown.source["other_year"].tolist()[:3] == [3, 3, 2]
        assert shown.source["other_year"][3] in (0, 1)
        assert (shown.source["wrong_country"] != np.arange(4)).all()
    assert (shown.untold, shown.unknown) == (0, 0)


def test_conditions_under_their_old_name_are_read(tmp_path):
    config = EvalConfig.model_validate(
        {"runs": {"a": "r"}, "store": "s", "output": "o", "conditions": ["with"], "arms": ["plain"]}
    )
    assert config.conditions == ("plain",)
    others = {key: {} for key in ("config", "runs", "documents", "perplexity", "questions")}
    old = {"format": FORMAT, "arms": ["with"], "floor": {"lines": [{"arm": "with", "run": None}]}}
    (tmp_path / "eval.json").write_text(json.dumps(old | others))
    assert read_evaluation(tmp_path) == {
        "format": FORMAT,
        "conditions": ["with"],
        "floor": {"lines": [{"condition": "with", "run": None}]},
        **others,
    }


def test_as_the_paper_did_is_one_word(world):
    same = {"runs": {"a": str(world.runs["with"])}, "store": str(world.store.root), "output": "o"}
    config = EvalConfig(**same, protocol="paper", num_documents=None)
    assert (config.num_documents, config.max_tokens) == (1000, 1024)
    plan = make_plan(config)
    assert plan.policies["a"].url_form == "full"
    # It was trained on hosts: what it is told now it has never met; told nothing it has.
    assert off_distribution("with", plan.models["a"], plan.policies["a"])
    assert not off_distribution("without", plan.models["a"], plan.policies["a"])
    assert not off_distribution("with", plan.models["a"], plan.models["a"].policy)
    with pytest.raises(ValueError, match="protocol=paper is max_tokens=1024: leave out"):
        EvalConfig(**same, protocol="paper", max_tokens=512)
