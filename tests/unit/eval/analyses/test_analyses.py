"""Analyses over runs: losses that are known by hand, in evaluations that are written by hand."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from eval.analyses.efficiency import NEVER
from eval.analyses.questions import QUESTIONS
from eval.analyses.study import Study
from eval.analyses.write import answers, verdict, write
from eval.runner import FORMAT, evaluate
from eval.trained import Trained
from geo_nemo.config import UserError
from tests.support.command import call

COUNTRIES = ["gb", "ke"]
CONTINENTS = {"gb": "Europe", "ke": "Africa"}
FULL = ("url", "country", "continent")
N = 40


def run(fields=FULL, continents=(), left_out=(), seed=1, tokens=400, parameters=1000, **changes):
    values = {"narrowed": False, "final_tokens": 400, **changes}
    return Trained(fields, continents, left_out, values["narrowed"], parameters, seed, tokens,
                   values["final_tokens"])  # fmt: skip


def evaluation(folder, runs, seed=0):
    """A folder as geo-nemo eval leaves it. runs: (Trained, nats a token by condition and country).

    Documents have 5 to 24 tokens; every token of a country has the loss that is given.
    """
    folder.mkdir()
    country = np.arange(N) % 2
    tokens = 5 + np.arange(N) % 20
    keys, rows = [], []
    for name, (_, losses) in runs.items():
        for condition, of in losses.items():
            keys.append(f"{name}/{condition}")
            rows.append(tokens * np.array([of.get("gb", 2.0), of.get("ke", 2.0)])[country])
    np.savez(
        folder / "documents.npz", keys=np.array(keys), country=country, body=np.stack(rows),
        title=np.stack(rows), body_tokens=tokens, title_tokens=tokens,
        content_hash=np.arange(N) + seed,
    )  # fmt: skip
    record = {
        "format": FORMAT,
        "runs": {
            name: {"trained": asdict(trained), "folder": str(folder / name.split("-")[0])}
            for name, (trained, _) in runs.items()
        },
        "documents": {
            "countries": COUNTRIES, "continents": CONTINENTS, "tokenizer_sha256": "t", "scored": N,
            "split": "test",
        },
        "config": {"bootstrap_samples": 200, "confidence": 0.95, "seed": 1, "max_tokens": 1024},
        "perplexity": {"cells": [], "effects": []},
        "conditions": ["with", "without"], "floor": None, "questions": None,
    }  # fmt: skip
    (folder / "eval.json").write_text(json.dumps(record))
    return folder


def flat(loss):
    return {"gb": loss, "ke": loss}


def lines(study, name):
    return {
        (line.of, line.against, line.tested_on): line.estimate
        for line in QUESTIONS[name].answer(study)
    }


@pytest.fixture
def study(tmp_path):
    """A told and a plain model of everything, of each continent, and without Africa."""
    runs = {
        "told": (run(), {"with": flat(1.5), "without": flat(1.9), "plain": flat(2.5)}),
        "bare": (run(()), {"with": flat(1.9), "without": flat(1.8), "plain": flat(2.4)}),
        "africa": (run(continents=("Africa",)), {"with": {"gb": 2.6, "ke": 1.4}}),
        "europe": (run(continents=("Europe",)), {"with": {"gb": 1.6, "ke": 2.7}}),
        "no_africa": (run(left_out=("Africa",)), {"with": {"gb": 1.5, "ke": 2.2}}),
        "no_africa_bare": (run((), left_out=("Africa",)), {"without": {"gb": 1.8, "ke": 2.1}}),
        "url": (run(("url",)), {"with": flat(1.55)}),
        "other": (run(narrowed=True), {"with": flat(1.0)}),
    }
    return Study([evaluation(tmp_path / "eval", runs)])


def test_local_models_are_compared_on_their_own_continent(study):
    told = "all continents, told"
    found = lines(study, "local_against_global")
    assert list(found) == [("Africa alone, told", told, "Africa"),
                           ("Europe alone, told", told, "Europe")]  # fmt: skip
    africa, europe = found.values()
    assert africa.value == pytest.approx(-0.1) and africa.sign == -1
    assert europe.value == pytest.approx(0.1) and europe.documents == N // 2
    # Every document differs by as much a token, so that no resample moves it.
    assert africa.low == pytest.approx(-0.1) == africa.high


def test_a_placebo_is_a_baseline_of_its_own_and_stands_for_no_told_model(tmp_path):
    placebo = asdict(run()) | {"placebo": True}
    runs = {
        "told": (run(), {"with": flat(1.5), "without": flat(1.9)}),
        "placebo": (Trained(**placebo), {"with": flat(1.7), "without": flat(1.95)}),
        "bare": (run(()), {"with": flat(1.9), "without": flat(1.8)}),
    }
    study = Study([evaluation(tmp_path / "eval", runs)])
    found = {key[:2]: round(e.value, 6) for key, e in lines(study, "placebo").items()}
    assert found == {
        ("told", "placebo, told"): -0.2, ("placebo, told", "plain"): -0.1,
        ("told nothing now", "placebo, told nothing"): -0.05,
    }  # fmt: skip
    # One told model of everything, not two that are alike.
    assert len(lines(study, "field_ablations")) == 1


def test_several_seeds_have_a_mixed_model_s_interval_beside_student_s(tmp_path):
    from eval.mixed import crossed

    folders = []
    for seed, gain in ((1, 0.3), (2, 0.2), (3, 0.4)):
        runs = {
            "told": (run(seed=seed), {"with": {"gb": 2 - gain, "ke": 2 - gain / 2}}),
            "bare": (run((), seed=seed), {"without": flat(2.0)}),
        }
        folders.append(evaluation(tmp_path / f"eval{seed}", runs))
    study = Study(folders)
    (estimate,) = (e for key, e in lines(study, "field_ablations").items() if key[1] == "plain")
    tokens = 5 + np.arange(N) % 20
    by_document = [
        -tokens * np.where(np.arange(N) % 2 == 0, gain, gain / 2) / tokens.mean()
        for gain in (0.3, 0.2, 0.4)
    ]
    expected = crossed(np.array(by_document), 0.95)
    assert estimate.value == pytest.approx(expected.mean)
    assert (estimate.mixed_low, estimate.mixed_high) == pytest.approx((expected.low, expected.high))
    assert estimate.low != pytest.approx(estimate.mixed_low)


def test_across_regions_each_is_held_against_the_local_one(study):
    found = lines(study, "cross_region")
    assert {key[0]: round(e.value, 6) for key, e in found.items()} == {
        "Europe alone, told": 1.3, "Africa alone, told": 1.0
    }  # fmt: skip


def test_a_continent_left_out(study):
    found = lines(study, "leave_one_out")
    assert {key[:2]: round(e.value, 6) for key, e in found.items()} == {
        ("all but Africa, told", "all continents, told"): 0.7,
        ("all but Africa, plain", "all continents, plain"): 0.3,
        ("all but Africa, told", "all but Africa, plain"): 0.1,
    }


def test_fields_and_sizes(study):
    assert {key[0]: round(e.value, 6) for key, e in lines(study, "field_ablations").items()} == {
        "told url": -0.25, "told url, country, continent": -0.3
    }  # fmt: skip
    assert {key[0]: round(e.value, 6) for key, e in lines(study, "scaling").items()} == {
        "1k parameters, told": -0.3, "1k parameters, told nothing": 0.1,
        "1k parameters, bare text": 0.1,
    }  # fmt: skip


def test_seeds_are_the_unit_of_the_interval(tmp_path):
    gains = [0.1, 0.2, 0.3]
    folders = [
        evaluation(
            tmp_path / f"seed-{seed}",
            {"told": (run(seed=seed), {"with": flat(2 - gain)}),
             "bare": (run((), seed=seed), {"without": flat(2.0)})},
        )
        for seed, gain in enumerate(gains)
    ]  # fmt: skip
    (estimate,) = lines(Study(folders), "field_ablations").values()
    # Student's t of 3 seeds at 95% is 4.302653; the standard error .1 / sqrt(3).
    assert (estimate.seeds, round(estimate.value, 9)) == (3, -0.2)
    assert estimate.high - estimate.value == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize(
    "losses, saved",
    [
        # Half way between 200 and 400 tokens, on a scale of logarithms.
        ((3.0, 2.0, 1.0), 1 - math.sqrt(200 * 400) / 400),
        ((3.0, 1.5, 1.0), 0.5),
        ((1.5, 1.2, 1.0), 0.75),
        ((3.0, 2.0, 1.6), NEVER),
    ],
)
def test_tokens_saved_are_read_off_the_curve(tmp_path, losses, saved):
    curve = {
        f"told-{tokens}": (run(tokens=tokens), {"with": flat(loss)})
        for tokens, loss in zip((100, 200, 400), losses, strict=True)
    }
    runs = curve | {"bare": (run(()), {"without": flat(1.5)})}
    (line,) = QUESTIONS["learning_efficiency"].answer(Study([evaluation(tmp_path / "e", runs)]))
    assert line.estimate.value == pytest.approx(saved) == line.estimate.low == line.estimate.high
    assert verdict(line) == ("worse" if saved == NEVER else "better")


def test_the_interval_of_tokens_saved_is_scipy_s(tmp_path):
    """Countries learn at their own pace, so that what is saved depends on the documents drawn."""
    steps = (100, 200, 400)
    gb, ke = np.array([2.6, 1.7, 1.0]), np.array([3.1, 2.4, 1.3])
    curve = {
        f"told-{tokens}": (run(tokens=tokens), {"with": {"gb": gb[n], "ke": ke[n]}})
        for n, tokens in enumerate(steps)
    }
    runs = curve | {"bare": (run(()), {"without": {"gb": 1.4, "ke": 1.8}})}
    study = Study([evaluation(tmp_path / "e", runs)])
    study.samples = 8000
    (line,) = QUESTIONS["learning_efficiency"].answer(study)
    tokens = 5 + np.arange(N) % 20
    of_gb = np.arange(N) % 2 == 0
    losses = np.where(of_gb, gb[:, None], ke[:, None]) * tokens
    wanted = np.where(of_gb, 1.4, 1.8) * tokens

    def saved(drawn, axis=-1):
        found = []
        for places in np.atleast_2d(drawn):
            curve = losses[:, places].sum(1) / tokens[places].sum()
            level = wanted[places].sum() / tokens[places].sum()
            found.append(1 - np.exp(np.interp(-level, -curve, np.log(steps))) / 400)
        return np.array(found)

    assert line.estimate.value == pytest.approx(saved(np.arange(N))[0])
    expected = stats.bootstrap(
        (np.arange(N),), saved, n_resamples=4000, method="percentile", vectorized=True,
        rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    width = expected.high - expected.low
    assert width > 0.01
    assert line.estimate.low == pytest.approx(expected.low, abs=0.06 * width)
    assert line.estimate.high == pytest.approx(expected.high, abs=0.06 * width)


def test_a_trained_run_gives_what_the_evaluation_gives(config, loader, tmp_path):
    """The same difference as in `eval.json`, whose figures have oracles of their own."""
    record = evaluate(config, loader)
    found = lines(Study([Path(config.output)]), "field_ablations")
    (estimate,) = found.values()
    (effect,) = (
        e for e in record["perplexity"]["effects"]
        if (e["group"], e["part"]) == ("all", "body")
        and e["of"] == ("with", "with") and e["against"] == ("without", "without")
    )  # fmt: skip
    assert estimate.value == pytest.approx(effect["nats"], abs=1e-12)
    assert effect["nats"] < 0


def test_the_page_says_what_runs_are_missing(study, tmp_path):
    study.members = [m for m in study.members if m.name in ("told", "bare")]
    found = answers(study)
    assert {a.question.name for a in found if a.lines} == {"field_ablations", "scaling"}
    paths = write(study, found, tmp_path / "out")
    assert [path.name for path in paths] == [f"analyses.{e}" for e in ("html", "md", "csv", "json")]
    html = paths[0].read_text()
    assert "No runs for it: it takes a run of one continent" in html
    assert html.count("<svg") == 4 and "http" not in html.replace("http-equiv", "")
    records = json.loads(paths[3].read_text())
    assert {r["verdict"] for r in records} == {"better", "worse"}
    assert len(paths[2].read_text().splitlines()) == 1 + len(records)


def test_a_condition_that_was_not_scored_is_named(tmp_path):
    runs = {"told": (run(), {"without": flat(1.9)}), "bare": (run(()), {"without": flat(1.8)})}
    study = Study([evaluation(tmp_path / "eval", runs)])
    with pytest.raises(
        UserError, match=r"run told was not scored under condition with, .* with am"
    ):
        answers(study)


def test_titles_that_few_documents_have_are_counted_where_there_are_some(tmp_path):
    runs = {
        name: (run(fields, continents), {"with": flat(loss), "without": flat(loss)})
        for name, fields, continents, loss in (
            ("told", FULL, (), 2.0), ("africa", FULL, ("Africa",), 802.0),
            ("europe", FULL, ("Europe",), 1.9),
        )
    }  # fmt: skip
    folder = evaluation(tmp_path / "eval", runs)
    with np.load(folder / "documents.npz") as content:
        arrays = {name: content[name] for name in content.files}
    figures = ("value", "low", "documents")
    for last, expected in ((25, [800.0, 800.0, 11]), (6, [800.0, None, 2])):
        titled = np.isin(np.arange(N), range(3, last, 2))  # of ke alone
        for name in ("title", "title_tokens"):
            arrays[name] = arrays[name] * titled
        np.savez(folder / "documents.npz", **arrays)
        study = Study([folder], part="title")
        paths = write(study, answers(study), tmp_path / "out")
        found = json.loads(next(p for p in paths if p.suffix == ".json").read_text())
        local = {line["of"]: line for line in found if line["analysis"] == "local_against_global"}
        assert set(local) == {"Africa alone, told"}
        # More than a ratio of perplexities has numbers for; no interval of two documents.
        assert [local["Africa alone, told"][key] for key in figures] == expected
    arrays["title_tokens"] *= 0
    np.savez(folder / "documents.npz", **arrays)
    with pytest.raises(UserError, match=r"no document of .* has a title: leave out --part"):
        Study([folder], part="title")


def test_a_seed_that_stands_twice_is_no_second_seed(tmp_path):
    """The same told run in two evaluations, of which one has the plain run."""
    both = {"told": (run(), {"with": flat(1.5)}), "bare": (run(()), {"without": flat(1.8)})}
    again = {"same": (run(), {"with": flat(1.5)})}
    folders = [evaluation(tmp_path / "one", both), evaluation(tmp_path / "two", again)]
    with pytest.raises(UserError, match="runs told and same are alike"):
        lines(Study(folders), "field_ablations")


def test_fields_are_no_seeds(tmp_path):
    """Two runs of one seed that never saw Africa, told other fields: a line each."""
    runs = {
        "all": (run(left_out=("Africa",)), {"with": flat(1.5)}),
        "url": (run(("url",), left_out=("Africa",)), {"with": flat(1.7)}),
        "bare": (run((), left_out=("Africa",)), {"without": flat(1.8)}),
    }
    found = lines(Study([evaluation(tmp_path / "e", runs)]), "leave_one_out")
    assert {key[0]: (round(e.value, 6), e.seeds) for key, e in found.items()} == {
        "all but Africa (url), told": (-0.1, 1),
        "all but Africa (url, country, continent), told": (-0.3, 1),
    }
    ties = {
        "url": (run(("url",)), {"with": flat(1.7)}), "host": (run(("host",)), {"with": flat(1.6)}),
        "bare": (run(()), {"without": flat(1.8)}),
    }  # fmt: skip
    found = lines(Study([evaluation(tmp_path / "ties", ties)]), "scaling")
    assert {key[0]: (round(e.value, 6), e.seeds) for key, e in found.items()} == {
        "host, told": (-0.2, 1), "url, told": (-0.1, 1),
    }  # fmt: skip


def test_two_runs_that_are_alike_are_named(tmp_path):
    runs = {
        "told": (run(), {"with": flat(1.5)}),
        "one": (run(()), {"without": flat(1.5)}), "two": (run(()), {"without": flat(1.6)}),
    }  # fmt: skip
    with pytest.raises(UserError, match="runs one and two are alike"):
        lines(Study([evaluation(tmp_path / "e", runs)]), "field_ablations")


def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys):
    runs = {"told": (run(), {"with": flat(1.5)})}
    one = evaluation(tmp_path / "one", runs)
    other = evaluation(tmp_path / "other", runs, seed=9)
    for words, said in (
        ((), "no evaluation: give folders"),
        ((tmp_path / "none",), "none"),
        ((one,), "1 run serves for no analysis"),
        ((one, other), "scored other documents"),
        ((one, one), f"{one} is given twice"),
        ((one, "--only", "scalng"), "no analysis scalng; did you mean scaling?"),
    ):
        code, out, err = call(
            monkeypatch, capsys, "analyse", *map(str, words), "--out", f"{tmp_path}/out"
        )
        assert (code, out, err.count("\n")) == (2, "", 1) and said in err, err
        assert not (tmp_path / "out").exists()
    code, _, err = call(monkeypatch, capsys, "analyse", str(one))
    assert code == 2 and "give --out DIR" in err
    for harm, said in (
        (lambda: (other / "documents.npz").write_bytes(b"PK\x03\x04 and no more"), "is damaged ("),
        ((other / "documents.npz").unlink, "documents.npz: No such file or directory; evaluate"),
        (
            lambda: (other / "eval.json").write_text('{"format": 1, "runs": {}}'),
            "lacks config: run",
        ),
    ):
        harm()
        code, _, err = call(monkeypatch, capsys, "analyse", str(other), "--out", f"{tmp_path}/out")
        assert code == 2 and err.count("\n") == 1 and said in err, err
    record = json.loads((one / "eval.json").read_text())
    del record["documents"]["countries"]
    (one / "eval.json").write_text(json.dumps(record))
    code, _, err = call(monkeypatch, capsys, "analyse", str(one), "--out", f"{tmp_path}/out")
    assert code == 2 and "run the same geo-nemo eval again" in err
