"""The law: planted ones are found again, errors as by hand, runs beside their own ordinary one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.optimize import least_squares

from benchmarks.__main__ import benchmarks
from benchmarks.experiment.figures import add_line
from benchmarks.law.fit import fit, left_out, of_source, upwards
from benchmarks.law.rows import Row, read_rows, rows_of
from geo_nemo.common.errors import UserError
from tests.unit.benchmarks.experiments import line as finished

PLANTED = np.array([-0.03, 0.2, 0.05, 0.04])
FADES = 3e11
SIZES = [(p, t) for p in (250_000, 500_000, 800_000) for t in (600_000, 1_200_000)]
STAGES = ((0.0, 0.2), (0.25, 0.2), (0.0, 0.1), (0.0, 0.4))


def scale(parameters, tokens, power):
    """Of a run's chance, 1 at the largest compute."""
    return (parameters * tokens / max(p * t for p, t in SIZES)) ** power


def rows(random, seeds=(1, 2), shared=0.0, own=0.0, law=PLANTED, power=0.0):
    """Runs of a law with a chance that runs of one ordinary run share, and one of their own, both
    of which move with a power of compute.
    """
    found = []
    for parameters, tokens in SIZES:
        wide = scale(parameters, tokens, power)
        for seed in seeds:
            of_pair = wide * random.normal(0, shared)
            for dropout, cooldown in STAGES:
                at = [1, math.exp(-parameters * tokens / FADES), dropout, cooldown]
                value = float(np.dot(at, law)) + of_pair + wide * random.normal(0, own)
                change = {"gain": value, "deficit": -value}
                found.append(
                    Row("small_sizes", seed, parameters, tokens, dropout, cooldown, change)
                )
    return found


def test_a_planted_law_is_found_again_and_foretells_what_was_left_out():
    exact = rows(np.random.default_rng(0))
    law = fit(exact, "gain")
    # Forty golden sections leave 4e-9 of a span of the grid, a tenth of ln c; squares that are
    # equal to 16 digits tell c to 8.
    assert law.fades == pytest.approx(FADES, rel=1e-6)
    np.testing.assert_allclose(law.coefficients, PLANTED, atol=1e-6)
    np.testing.assert_allclose(fit(exact, "deficit").coefficients, -PLANTED, atol=1e-6)
    assert left_out(exact, "gain").law < 1e-5
    assert upwards(exact, "gain").law < 1e-5
    # The mean of the others knows nothing of stages or size.
    assert left_out(exact, "gain").mean > 0.005
    value, low, high = law.predict(1e9, 1e9, 0.0, 0.2)
    assert value == pytest.approx(-0.03 + 0.008, abs=1e-6)
    assert low == pytest.approx(high, abs=1e-5)


def test_an_experiment_is_foretold_by_the_others_alone():
    exact = rows(np.random.default_rng(0))
    fresh = [replace(row, source="longer_confirm") for row in exact]
    off = [replace(r, change={"gain": r.change["gain"] + 0.01, "deficit": 0.0}) for r in fresh]
    # Were its own runs among those that the law is fitted on, it would be off by half of that.
    assert of_source([*exact, *off], "gain", "longer_confirm").law == pytest.approx(0.01, abs=1e-5)
    assert of_source([*exact, *off], "gain", "longer_confirm").count == len(off)


@pytest.mark.very_slow
def test_scatter_is_found_again():
    """The logarithm of a squared residual scatters by pi / sqrt(2) (Harvey 1976), so a power, half
    a slope, by 0.21 over these 72 runs: the mean of 100 by 0.02, beside the 0.06 that the law takes
    out of late runs' residuals.
    """
    random, count = np.random.default_rng(3), 100
    fitted = [fit(rows(random, (1, 2, 3), own=0.004, power=-0.9), "gain") for _ in range(count)]
    assert np.mean([law.power for law in fitted]) == pytest.approx(-0.9, abs=0.1)
    assert np.mean([law.spread for law in fitted]) == pytest.approx(0.004, rel=0.1)
    law = fitted[0]
    assert law.scatter(law.largest / 10) == pytest.approx(law.spread * 10**-law.power)
    assert law.scatter(law.largest * 10) == law.spread


@pytest.mark.very_slow
@pytest.mark.parametrize("power", [0.0, -0.9])
def test_intervals_and_predictions_cover_at_their_rate(power):
    """Of 150 samples, 95% less four standard deviations of a count (1.8% each), and 3% for what 18
    clusters, their correction and weights that are fitted cost: at least 85%.
    """
    random, count = np.random.default_rng(1), 150
    within, foretold = np.zeros(5), 0
    for _ in range(count):
        sample = rows(random, seeds=(1, 2, 3), shared=0.01, own=0.005, power=power)
        law = fit(sample, "gain")
        for term in range(4):
            _, low, high = law.interval(term)
            within[term] += low <= PLANTED[term] <= high
        _, low, high = law.fades_between()
        within[4] += low <= FADES <= high
        truth = PLANTED[0] + PLANTED[1] * math.exp(-2e11 / FADES) + 0.2 * PLANTED[3]
        truth += scale(4e5, 5e5, power) * random.normal(0, math.hypot(0.01, 0.005))
        _, low, high = law.predict(4e5, 5e5, 0.0, 0.2)
        foretold += low <= truth <= high
    assert (within / count > 0.85).all(), within
    assert foretold / count > 0.85


def test_clustered_errors_are_the_sandwich_of_the_definition():
    sample = rows(np.random.default_rng(2), shared=0.01, own=0.01)
    law = fit(sample, "gain")
    wide = np.array([(r.parameters * r.tokens / law.largest) ** law.power for r in sample])
    values = np.array([r.change["gain"] for r in sample]) / wide

    def by(unknown):
        """The law at (a, b, d, e, ln c), a run at a time."""
        a, b, d, e, log = unknown
        each = [(r.parameters * r.tokens / math.exp(log), r.dropout, r.cooldown) for r in sample]
        told = np.array([a + b * math.exp(-at) + d * drop + e * cool for at, drop, cool in each])
        return told / wide

    start = np.array([*law.coefficients, math.log(law.fades)]) + 0.003
    found = least_squares(lambda at: by(at) - values, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    left = values - by(found.x)
    design = np.column_stack(
        [(by(found.x + step) - by(found.x - step)) / 2e-6 for step in 1e-6 * np.eye(5)]
    )
    # A matrix of which two runs have a common ordinary one, in place of a sum over clusters.
    same = np.array([[one.pair == other.pair for other in sample] for one in sample])
    bread = np.linalg.pinv(design)
    clusters, count = len(SIZES) * 2, len(sample)
    few = clusters / (clusters - 1) * (count - 1) / (count - 5)
    expected = few * bread @ (np.outer(left, left) * same) @ bread.T
    # Both minima are told to half of the digits, and so is a slope of central differences.
    np.testing.assert_allclose(law.coefficients, found.x[:4], rtol=1e-5)
    assert math.log(law.fades) == pytest.approx(found.x[4], rel=1e-6)
    np.testing.assert_allclose(law.covariance, expected, rtol=1e-3, atol=1e-9)


def line(run, seed, told, plain, parameters=800_000, tokens=1_600_000):
    nats = {"with": told, "plain": plain}
    return finished(run, seed, nats, parameters=parameters, tokens=tokens)


def test_a_run_stands_beside_the_ordinary_one_of_its_seed_and_size():
    found = rows_of(
        "small_sizes",
        [
            line("ordinary_tiny_150", 1, 0.9, 0.6, 100, 50),
            line("ordinary_tiny_300", 1, 0.9, 0.5, 100, 90),
            line("ordinary_tiny_150", 2, 0.9, 0.7, 100, 50),
            line("short_tiny_150", 1, 0.58, 0.61, 100, 50),
            line("short_tiny_300", 1, 0.45, 0.52, 100, 90),
            line("dropped_tiny_150", 2, 0.69, 0.70, 100, 50),
            line("long_tiny_300", 2, 0.4, 0.4, 100, 90),
            line("unknown_tiny_150", 1, 0.4, 0.4, 100, 50),
        ],
    )
    told = [(r.tokens, r.seed, r.dropout, r.cooldown, r.change) for r in found]
    assert told == [
        (50, 1, 0.0, 0.1, {"gain": pytest.approx(-0.02), "deficit": pytest.approx(0.01)}),
        (90, 1, 0.0, 0.1, {"gain": pytest.approx(-0.05), "deficit": pytest.approx(0.02)}),
        (50, 2, 0.25, 0.2, {"gain": pytest.approx(-0.01), "deficit": pytest.approx(0.0)}),
    ]


def test_a_run_that_was_not_evaluated_on_bare_text_is_one_line():
    size = {"parameters": 800_000, "tokens": 1_600_000}
    lines = [line("ordinary", 1, 0.9, 0.6, **size), finished("usual", 1, {"with": 0.5}, **size)]
    with pytest.raises(UserError, match="run usual, seed 1, has no figures of body under the cond"):
        rows_of("longer", lines)


def test_runs_that_do_not_tell_the_terms_apart_are_one_line(tmp_path):
    with pytest.raises(UserError, match="small_sizes"):
        read_rows(tmp_path)
    two_sizes = [row for row in rows(np.random.default_rng(0)) if row.parameters == 250_000]
    with pytest.raises(UserError, match="16 runs do not tell what fades from what stays"):
        fit(two_sizes, "gain")


def test_the_page_has_the_law_its_error_and_predictions(tmp_path):
    random = np.random.default_rng(3)
    for parameters, tokens in SIZES:
        for seed in (1, 2):
            base = 0.5 + random.normal(0, 0.01)
            size = {"parameters": parameters, "tokens": tokens}
            of = f"{parameters}_{tokens}"
            add = [line(f"ordinary_{of}", seed, 0.9, base, **size)]
            for name in ("bare", "dropped", "short", "long"):
                chance = random.normal(0, 0.003, 2)
                told = base - 0.03 + chance[0], base + chance[1]
                add.append(line(f"{name}_{of}", seed, *told, **size))
            for each in add:
                add_line(tmp_path / "small_sizes.jsonl", each)
    page = tmp_path / "docs" / "experiments.md"
    done = CliRunner().invoke(benchmarks, ["law", "--results", str(tmp_path), "--page", str(page)])
    assert done.exit_code == 0, done.output
    text = " ".join(page.read_text().split())
    assert "48 conditioned runs (48 of `small_sizes`)" in text
    for told in ("fades with", "each size left out", "the largest, from the smaller", "0.5B"):
        assert told in text and told in done.output
    assert (page.parent / "experiments" / "law.svg").read_text().startswith("<?xml")
