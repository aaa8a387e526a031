"""Worst country and spread, constant and slope, groups by frequency, countries told."""

import json
import math

import numpy as np
import pytest

from eval.conditions import off_distribution
from eval.config import EvalConfig
from eval.models import read_models
from eval.perplexity import BANDS, Scores
from eval.report import heat
from eval.report.lead import lead
from eval.report.sentences import place_name
from eval.runner import evaluate
from eval.spread import constant_and_slope, moments, over_countries, solved
from eval.where import by_frequency
from geo_nemo.config import UserError
from tests.unit.eval.fakes import HOSTS, BigramScorer, nats_of_text

SETTINGS = {"samples": 400, "confidence": 0.95, "seed": 3}


class Sized:
    """As `Documents`, of which nothing but the number of tokens is asked."""

    def __init__(self, tokens):
        self.tokens = np.asarray(tokens)


def by_band(sizes, of_token):
    """Change of each document and band, of the change at each place."""
    starts, stops = [0, *BANDS[:-1]], [*BANDS[:-1], 10**9]
    return np.array([
        [sum(of_token(t) for t in range(start, min(stop, size))) for start, stop in
         zip(starts, stops, strict=True)] for size in sizes
    ])  # fmt: skip


def fitted(sizes, change):
    from eval.matrix import Effect

    documents = Sized(sizes)
    zero = np.zeros(len(sizes))
    scores = {
        ("a", "with"): Scores(zero, zero, zero, places=change),
        ("a", "without"): Scores(zero, zero, zero, places=np.zeros_like(change)),
    }
    effect = Effect("told against not told", ("a", "with"), ("a", "without"))
    (line,) = constant_and_slope({"a": documents}, scores, [effect], **SETTINGS)
    return line


def test_a_planted_constant_and_slope_are_found_exactly():
    """3 nats at the first token of a text, and 0.02 with each."""
    sizes = [5, 9, 40, 200, 777, 1024, 31, 64, 8, 300, 2000]
    line = fitted(sizes, by_band(sizes, lambda t: -0.02 - 3 * (t == 0)))
    assert line["constant"] == pytest.approx(-3, abs=1e-9)
    assert line["slope"] == pytest.approx(-0.02, abs=1e-12)
    # Every resample lies on the same line.
    assert line["constant_low"] == pytest.approx(line["constant_high"], abs=1e-6)
    assert line["slope_low"] == pytest.approx(-0.02, abs=1e-9)


def test_it_is_least_squares_over_the_ends_of_bands_that_documents_reach():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 900, size=30)
    change = by_band(sizes, lambda t: float(rng.normal()))
    line = fitted(sizes, change)
    points = []
    for size, row in zip(sizes, change, strict=True):
        gained = 0.0
        for start, stop, part in zip([0, *BANDS[:-1]], BANDS, row, strict=True):
            if size > start:
                gained += part
                points.append((min(size, stop or size), gained))
    t, y = np.array(points).T
    (constant, slope), *_ = np.linalg.lstsq(np.stack([np.ones_like(t), t], 1), y, rcond=None)
    assert line["points"] == len(points)
    assert (line["constant"], line["slope"]) == pytest.approx((constant, slope), rel=1e-9)
    assert line["slope_low"] < line["slope"] < line["slope_high"]


def test_the_intervals_of_constant_and_slope_cover_at_their_rate():
    """100 corpora of 60 documents: 95% intervals hold the truth 95 times, 3 standard errors 7."""
    rng = np.random.default_rng(5)
    held = np.zeros(2)
    for _ in range(100):
        sizes = rng.integers(20, 600, size=60)
        shift, tilt = rng.normal(-2, 0.7, 60), rng.normal(-0.01, 0.004, 60)
        starts = np.array([0, *BANDS[:-1]])
        stops = np.array([*BANDS[:-1], 10**9])
        tokens = np.clip(np.minimum(sizes[:, None], stops) - starts, 0, None)
        change = tokens * tilt[:, None]
        change[:, 0] += shift
        line = fitted(sizes, change)
        # The fit weighs documents by their points; their means do not depend on that here.
        held += [
            line["constant_low"] <= -2 <= line["constant_high"],
            line["slope_low"] <= -0.01 <= line["slope_high"],
        ]
    assert (held >= 86).all(), held


def test_texts_of_one_length_have_no_line_and_few_have_no_interval():
    assert solved(moments(np.array([[5] + [0] * 8]), np.ones((1, 9))).sum(0)[None]) is None
    sizes = [20, 40, 80]
    line = fitted(sizes, by_band(sizes, lambda t: 1.0))
    assert line["slope"] == pytest.approx(1) and line["slope_low"] is None


def country(name, nats, low, high):
    return {"group": "country", "name": name, "part": "body", "purpose": "p", "of": ("a", "with"),
            "against": ("a", "without"), "nats": nats, "low": low, "high": high}  # fmt: skip


def test_the_worst_country_and_the_spread_are_those_of_a_hand_s_count():
    lines = [
        country("gb", -0.3, -0.4, -0.2), country("ke", 0.1, 0.05, 0.2),
        country("ie", -0.1, -0.2, 0), country("ng", 0.9, None, None),
    ]  # fmt: skip
    (found,) = over_countries(lines)
    assert found["mean"] == pytest.approx(-0.1) and found["spread"] == pytest.approx(0.2)
    assert (found["worst"], found["worst_nats"], found["worst_low"]) == ("ke", 0.1, 0.05)
    assert (found["best"], found["best_high"]) == ("gb", -0.2)
    assert (found["countries"], found["better"], found["worse"]) == (3, 1, 1)
    assert over_countries(lines[:1]) == []


def test_documents_by_how_often_their_country_is_trained_on():
    groups = by_frequency(np.array([0, 1, 2, 3, 4, 1]), np.array([9, 10, 0, 1000, 99]))
    assert {g.name: g.places.tolist() for g in groups} == {
        "none": [2], "1 to 9": [0], "10 to 99": [1, 4, 5], "1,000 to 9,999": [3]
    }  # fmt: skip
    assert by_frequency(np.array([0, 0]), np.array([5])) == []


TOLD = ("with", "without", "as_gb", "as_ke")


@pytest.fixture(scope="module")
def told(world, tmp_path_factory):
    output = tmp_path_factory.mktemp("told") / "out"
    config = EvalConfig(
        runs={"with": str(world.runs["with"])}, store=str(world.store.root), output=str(output),
        bootstrap_samples=200, conditions=TOLD,
    )  # fmt: skip
    result = evaluate(config, lambda model: BigramScorer())
    with np.load(output / "documents.npz") as arrays:
        return result, {name: arrays[name] for name in arrays.files}


def test_a_country_that_is_told_is_told_to_every_document_and_its_host_is_not(world, told):
    _, found = told
    at = found["keys"].tolist().index("with/as_ke")
    for place, index in enumerate(found["index"].tolist()):
        _, _, title, body = world.documents[index]
        if not title:
            # No line of a URL stands before it, which a bigram would not see.
            expected = nats_of_text("ke", HOSTS["ke"][0], title, body)[1]
            assert found["body"][at, place] == pytest.approx(expected, rel=1e-4)


def test_the_map_of_countries_told_is_hot_where_a_document_is_told_its_own(told):
    result, _ = told
    result = json.loads(json.dumps(result))
    by_heading = {heading: table for heading, _, table in heat.maps(result, "body")}
    table = by_heading["Run with by country of the document and country told"]
    assert table.head == ("document of", "told United Kingdom", "told Kenya")
    rows = {row[0].text: row[1:] for row in table.rows}
    gb, ke = rows["United Kingdom"]
    assert (gb.small, ke.small) == ("its own", "") and gb.tone == "good" and gb.heat > 0
    assert rows["Kenya"][1].small == "its own"
    lines = [e for e in result["perplexity"]["effects"]
             if (e["group"], e["name"], e["part"]) == ("country", "gb", "body")]  # fmt: skip
    own = next(e for e in lines if e["of"] == ["with", "as_gb"])
    assert own["purpose"] == "told one country against not told"
    assert gb.text.endswith("%") or gb.text == f"x {math.exp(own['nats']):,.3g}"


def test_shades_of_a_map_are_the_share_of_the_largest_clear_change():
    """Each shade against the definition, written down anew; the largest is the darkest."""
    rng = np.random.default_rng(3)
    places, conditions = ["gb", "ke", "us", "unknown"], ["with", "shuffled", "only_url"]
    effects, expected = [], {}
    for place in places:
        for condition in conditions:
            nats, half = rng.normal(0, 0.1), rng.exponential(0.05)
            interval = (None, None) if place == "us" else (nats - half, nats + half)
            effects.append({
                "group": "country", "part": "body", "name": place, "of": ["told", condition],
                "against": ["told", "without"], "nats": nats, "ratio": math.exp(nats),
                "low": interval[0], "high": interval[1], "purpose": "",
            })  # fmt: skip
            clear = place != "us" and half < abs(nats)
            expected[place, condition] = abs(nats) if clear else 0.0, nats
    runs = {"told": {"conditioned": True, "policy_hashes": {"a": "b"}}}
    found = heat.maps({"runs": runs, "perplexity": {"effects": effects}}, "body")
    ((heading, _, table),) = found
    assert heading == "Run told by country and condition"
    largest = max(size for size, _ in expected.values())
    shades = {}
    for place, row in zip(places, table.rows, strict=True):
        assert row[0].text == place_name("country", place)
        for condition, cell in zip(conditions, row[1:], strict=True):
            size, nats = expected[place, condition]
            assert cell.heat == round(45 * size / largest)
            assert cell.tone == ("flat" if not size else "good" if nats < 0 else "bad")
            assert cell.small == "" and cell.text.startswith("−" if nats < 0 else "+")
            shades[place, condition] = cell.heat
    assert max(shades.values()) == 45 and {shades["us", c] for c in conditions} == {0}


def test_a_map_of_more_countries_than_it_shows_says_how_many_it_leaves_out():
    names = [f"{a}{b}" for a in "abcde" for b in "abcdefghij"]
    effects = [
        {"group": "country", "part": "body", "name": name, "of": ["told", condition],
         "against": ["told", "without"], "nats": 0.1, "ratio": 1.1, "low": None, "high": None,
         "purpose": ""}
        for name in names for condition in ("with", "shuffled")
    ]  # fmt: skip
    runs = {"told": {"conditioned": True, "policy_hashes": {"a": "b"}}}
    ((_, caption, table),) = heat.maps({"runs": runs, "perplexity": {"effects": effects}}, "body")
    assert len(table.rows) == 40 and "40 of 50 countries" in caption


def test_the_lead_names_the_worst_country_and_the_tables_have_it(told):
    result = json.loads(json.dumps(told[0]))
    line = next(c for c in result["countries"]
                if c["part"] == "body" and c["purpose"] == "told against not told")  # fmt: skip
    said = " ".join(lead(result))
    assert f"All {line['countries']} countries with enough documents gain clearly" in said
    assert heat.over_countries(result).rows and heat.fitted(result).rows


def test_told_one_country_is_off_distribution_where_a_model_always_saw_a_url(world):
    run = read_models({"a": str(world.runs["with"])})["a"]
    assert off_distribution("as_gb", run, run.policy)
    short = run.policy.model_copy(update={"fields": ("country", "continent")})
    assert off_distribution("as_gb", run, short)  # it saw a URL all the time


@pytest.mark.parametrize(
    ("condition", "words"), [("as_qq", "no country qq; give a code, as as_gb")]
)
def test_a_country_that_is_none_is_refused(world, tmp_path, condition, words):
    config = EvalConfig(
        runs={"with": str(world.runs["with"])}, store=str(world.store.root), output=str(tmp_path),
        conditions=("with", condition),
    )  # fmt: skip
    with pytest.raises(UserError, match=words):
        evaluate(config, lambda model: BigramScorer())
