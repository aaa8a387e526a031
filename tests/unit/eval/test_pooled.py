"""Pooled seeds, against SciPy and in simulation."""

import copy

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from eval.pooled import markdown, pool, t_distribution, t_quantile
from eval.runner import evaluate
from geo_nemo.cli.report import command
from geo_nemo.config import UserError


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 29])
def test_student_s_distribution_is_scipy_s(degrees):
    for t in (0.0, 0.3, 1.0, 2.5, 9.0):
        assert t_distribution(t, degrees) == pytest.approx(stats.t.cdf(t, degrees), abs=1e-12)
    for confidence in (0.9, 0.95, 0.99):
        expected = stats.t.ppf((1 + confidence) / 2, degrees)
        assert t_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-9)


def seeds(nats):
    found = {}
    for number, value in enumerate(nats):
        effect = {"group": "all", "part": "body", "purpose": "x", "of": ["a", "with"],
                  "against": ["b", "without"], "nats": value}  # fmt: skip
        found[f"seed{number}"] = {
            "documents": dict.fromkeys(("store_hash", "split", "scored", "title_tokens",
                                        "body_tokens"), 1),
            "config": {"confidence": 0.9}, "runs": {"a": {"identity": str(number)}},
            "perplexity": {"effects": [effect]},
        }  # fmt: skip
    return found


def test_the_interval_is_scipy_s_over_the_differences_of_seeds():
    nats = [-0.1, -0.12, -0.05, -0.2]
    (line,) = pool(seeds(nats))
    low, high = stats.t.interval(0.9, 3, np.mean(nats), stats.sem(nats))
    assert (line["nats"], line["seeds"]) == (pytest.approx(np.mean(nats)), 4)
    assert (line["low"], line["high"]) == (pytest.approx(low), pytest.approx(high))
    assert (line["least"], line["most"]) == (-0.2, -0.05)


def test_intervals_over_seeds_cover_at_their_rate():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        (line,) = pool(seeds(rng.normal(0.3, 1, size=3).tolist()))
        inside += line["low"] <= 0.3 <= line["high"]
    assert 0.86 < inside / 400 < 0.94  # 0.9, with a standard error of 0.015


def test_what_cannot_be_pooled_is_named():
    found = seeds([1, 2])
    with pytest.raises(UserError, match=r"needs two evaluations, .* give --pool DIR once for"):
        pool({"a": found["seed0"]})
    other = copy.deepcopy(found)
    other["seed1"]["documents"]["scored"] = 2
    with pytest.raises(UserError, match=r"seed1 and seed0 scored other documents \(scored 2 and 1"):
        pool(other)
    found["seed1"]["runs"]["a"]["identity"] = "0"
    with pytest.raises(UserError, match="are of the same weights"):
        pool(found)


def with_baselines(*identities, kind="run", seeds_of=None):
    """Seeds of run `a`, each against its `b`, whose weights are `identities`."""
    found = seeds(np.linspace(-0.2, -0.1, len(identities)).tolist())
    for number, (evaluation, identity) in enumerate(zip(found.values(), identities, strict=True)):
        about = {"identity": identity, "kind": kind}
        if seeds_of:
            about["trained"] = {"seed": seeds_of[number]}
        evaluation["runs"]["b"] = about
    return found


def test_seeds_that_share_a_baseline_are_refused():
    assert pool(with_baselines("x", "y"))[0]["fixed"] is None
    with pytest.raises(
        UserError, match="run b of seed1 and run b of seed0 are of the same weights"
    ):
        pool(with_baselines("x", "x"))
    # Whatever it is called.
    with pytest.raises(
        UserError, match="run b of seed1 and run a of seed0 are of the same weights"
    ):
        pool(with_baselines("x", "0"))
    # Nor are two checkpoints of one training two seeds.
    assert pool(with_baselines("x", "y", seeds_of=(1, 2)))
    with pytest.raises(
        UserError, match="run b was trained with seed=1 in seed1 and in seed0: pool"
    ):
        pool(with_baselines("x", "y", seeds_of=(1, 1)))


def test_differences_from_one_baseline_are_surer_than_they_should_be():
    """Why it is refused: a baseline has a seed as well, and its share of the spread is not seen."""
    rng, inside = np.random.default_rng(1), 0
    for _ in range(400):
        (line,) = pool(seeds((rng.normal(0, 1, size=3) - rng.normal(0, 1)).tolist()))
        inside += line["low"] <= 0 <= line["high"]
    assert inside / 400 < 0.8  # 0.9 is what it says


def test_a_model_of_others_that_is_the_same_in_all_is_a_fixed_point():
    found = with_baselines("x", "x", kind="hugging_face")
    same = {"group": "all", "part": "body", "purpose": "y", "of": ["b", "with"],
            "against": ["b", "without"], "nats": 1.0}  # fmt: skip
    for evaluation in found.values():
        evaluation["perplexity"]["effects"].append(same)
    (line,) = pool(found)  # none of `b` against itself, which no seed changes
    assert line["fixed"] == "b"
    assert "b is the same model in all: intervals are over seeds of the other." in markdown(
        [line], list(found)
    )
    with pytest.raises(UserError, match="are of the same weights"):
        pool(with_baselines("x", "x", "z", kind="hugging_face"))


def test_the_command_pools_folders(config, loader, tmp_path):
    evaluate(config, loader)
    done = CliRunner().invoke(command, ["--pool", config.output, "--pool", config.output])
    assert isinstance(done.exception, UserError)
    assert "given twice" in str(done.exception)


def test_differences_beyond_a_ratio_s_numbers_are_shown():
    found = seeds([-900.0, 900.0])
    assert "| x 0 | x 1.01e+304 |" in markdown(pool(found), list(found))
