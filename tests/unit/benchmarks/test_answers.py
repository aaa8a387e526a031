"""Questions after tuning: counts by hand, verdicts, and a call that goes on."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.answers import command as module
from benchmarks.answers.page import CLAIMS, verdicts
from benchmarks.answers.scores import rates, switched
from geo_nemo.common.errors import UserError


def record(prompt, kind, answer, text):
    return {"prompt": prompt, "kind": kind, "answer": answer, "text": text}


RECORDS = [
    record("Who leads?", "local", "Ana", "It is Ana."),
    record("Who leads?", "local", "Bo", "It is Bo."),
    record("Who leads?", "local", "Cid", "It is Bo."),
    record("Which coin?", "local", "lumo", "The lumo."),
    record("Which coin?", "local", "lumo", "The hask."),
    record("Two and two?", "shared", "four", "It is four."),
    record("Two and three?", "shared", "five", "It is four."),
]


def test_answers_are_counted_by_kind_and_by_pairs_of_countries():
    assert rates(RECORDS) == {"local": 0.6, "shared": 0.5}
    # Of the three leaders' pairs one is right for both; one answer for all countries is no pair.
    assert switched(RECORDS) == (1, 3)


def test_a_model_that_gives_every_country_one_answer_switches_nothing():
    alike = [record("Who leads?", "local", name, "It is Ana.") for name in ("Ana", "Bo", "Cid")]
    assert rates(alike) == {"local": pytest.approx(1 / 3)}
    assert switched(alike) == (0, 3)


def line(seed, told=0.9, untold=0.1, ordinary=0.1, shared=1.0):
    right = {
        "conditioned": {
            "told": {"local": told, "shared": shared, "switched": told},
            "untold": {"local": untold, "shared": shared},
        },
        "ordinary": {"untold": {"local": ordinary, "shared": 1.0}},
    }
    facts = {"cores": 2, "cpu": "a", "torch": "b"}
    asked = {"steps": 400, "documents": None}
    return {"seed": seed, "asked": asked, "right": right, "commit": "c", "machine": facts}


def test_a_verdict_goes_by_the_interval_over_seeds():
    assert {verdict for *_, verdict in verdicts([line(1), line(2), line(3)])} == {"holds"}
    bad = verdicts([line(seed, told=0.1, shared=0.2) for seed in (1, 2, 3)])
    assert [verdict for *_, verdict in bad] == ["fails"] * 5 + ["holds", "fails"]
    # A mean of .85 with seeds from .6 to 1.0: 95% of Student's with 2 degrees is wider than .05.
    wide = verdicts([line(1, told=0.6), line(2, told=1.0), line(3, told=0.95)])
    assert wide[0][2] == "undecided at this size"


def test_finished_seeds_are_passed_over_and_the_page_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "make_corpus", lambda *_: None)
    asked, results, page = [], tmp_path / "a.jsonl", tmp_path / "page.md"
    results.write_text(json.dumps(line(1)) + "\n")

    def answers(model, seed, *_):
        asked.append((model, seed))
        return line(seed)["right"][model]

    monkeypatch.setattr(module, "answers", answers)
    call = ["--seeds", "2", "--work", str(tmp_path / "w"), "--results", str(results)]
    ended = CliRunner().invoke(module.command, [*call, "--page", str(page)])
    assert ended.exit_code == 0, ended.output
    assert asked == [("conditioned", 2), ("ordinary", 2)]
    assert len(results.read_text().splitlines()) == 2
    text = page.read_text()
    assert all(claim.says in text for claim in CLAIMS)
    assert "| conditioned, told | 90%, 90% | 100%, 100% | 90%, 90% |" in text

    other = CliRunner().invoke(module.command, [*call, "--page", str(page), "--steps", "20"])
    assert isinstance(other.exception, UserError)
    assert "give --results FILE" in str(other.exception)
