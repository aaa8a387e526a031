"""The demo, with its own settings, must find what the synthetic corpus holds, and say so."""

import json
import os
import subprocess
import sys

import pytest

OWN_TRUTH = (["with", "with"], ["with", "without"])
PLAIN_MODEL = (["with", "with"], ["without", "without"])
SHUFFLED = (["with", "shuffled"], ["with", "without"])


def run_demo(folder, *options):
    """What the demo prints."""
    command = [sys.executable, "-m", "geo_nemo", "demo", "--out", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Folder of a finished demo, and what it printed. Its path has a space."""
    folder = tmp_path_factory.mktemp("demo") / "my news"
    return folder, run_demo(folder)


@pytest.mark.slow
def test_in_a_few_steps_it_goes_the_whole_way(tmp_path):
    """What the model learns, the demo at its own length tells: make test-slow."""
    folder = tmp_path / "my news"
    assert str(folder / "report.html") in run_demo(folder, "--steps", "20", "--documents", "3000")
    found = json.loads((folder / "eval" / "eval.json").read_text())
    assert set(found["runs"]) == {"with", "without"} and "plain" in found["conditions"]
    assert found["documents"]["scored"] > 50 and found["floor"] and found["questions"]
    page = (folder / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "told another" in page


@pytest.fixture(scope="module")
def evaluation(demo):
    return json.loads((demo[0] / "eval" / "eval.json").read_text())


def effect(evaluation, pair, part="body"):
    """The effect of one cell against another over all documents."""
    of, against = pair
    found = [
        e
        for e in evaluation["perplexity"]["effects"]
        if e["group"] == "all" and e["part"] == part and (e["of"], e["against"]) == (of, against)
    ]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.very_slow
def test_true_metadata_lowers_the_body_s_loss_clear_of_zero(evaluation):
    for pair in (OWN_TRUTH, PLAIN_MODEL):
        found = effect(evaluation, pair)
        assert found["nats"] < found["high"] < 0, pair


@pytest.mark.very_slow
def test_another_document_s_metadata_does_not(evaluation):
    assert effect(evaluation, SHUFFLED)["high"] > 0


@pytest.mark.very_slow
def test_the_title_gains_nothing_for_the_corpus_holds_nothing_to_gain(evaluation):
    """By construction the origin tells nothing of a title; a gain would be a leak."""
    found = effect(evaluation, OWN_TRUTH, part="title")
    assert found["low"] > -0.02


@pytest.mark.very_slow
def test_no_loss_is_below_the_floor(evaluation):
    floors = {
        line["condition"]: line for line in evaluation["floor"]["lines"] if line["run"] is None
    }
    measured = [line for line in evaluation["floor"]["lines"] if line["run"] is not None]
    assert len(measured) == 4
    for line in measured:
        for part in ("title", "body"):
            assert line[part] > floors[line["condition"]][part]


@pytest.mark.very_slow
def test_the_report_shows_the_gain_and_the_control(demo, evaluation):
    folder, printed = demo
    page = (folder / "report.html").read_text()
    for pair in (OWN_TRUTH, SHUFFLED):
        shown = f"{abs(effect(evaluation, pair)['nats']):.4f}"
        assert shown in page
    assert str(folder / "report.html") in printed
    assert "told another" in page


@pytest.mark.very_slow
def test_run_again_it_keeps_all_that_is_done(demo):
    folder, _ = demo
    kept = [
        folder / "corpus" / "news.jsonl.gz",
        folder / "prep" / "store" / "manifest.json",
        folder / "with" / "metrics.jsonl",
    ]
    before = [path.read_bytes() for path in kept]
    checkpoints = sorted((folder / "with" / "checkpoints").iterdir())
    times = [path.stat().st_mtime_ns for path in checkpoints]
    command = [sys.executable, "-m", "geo_nemo", "demo", "--out", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.read_bytes() for path in kept] == before
    assert sorted((folder / "with" / "checkpoints").iterdir()) == checkpoints
    assert [path.stat().st_mtime_ns for path in checkpoints] == times
