"""Experiments: what is told before anything trains, and commands that end badly."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.experiment.command import command
from benchmarks.experiment.evaluation import check_evaluation
from benchmarks.experiment.schema import Corpus, Experiment
from benchmarks.experiment.timing import scored_documents
from benchmarks.experiment.work import (
    PID,
    CommandFailed,
    Processes,
    _note,
    make_store,
    mistakes_told,
)
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from tests.unit.benchmarks.experiments import content, file_of, line

EVALUATION = content()["evaluation"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": ["metadat=full"]}, r"evaluation.settings: eval: unknown key metadat; did y"),
        ({"settings": ["metadata=full", "num_documents=many"]}, r"num_documents='many': input sh"),
        ({"settings": ["num_documents=20"]}, r"settings name no metadata, .*: add metadata=full"),
        ({"settings": ["metadata=full", "split=tset"]}, r"evaluation: .* has no split tset, only"),
        ({"settings": ["metadata=full", "device=gpu"]}, r"evaluation: device=gpu: torch sees no"),
        ({"settings": ["metadata=full", "groups=[topic]"]}, r"evaluation: groups: .*topic"),
        ({"conditions": ["with", "without", "only_topic"]}, r"evaluation: condition only_topic: "),
        ({"conditions": ["with", "without", "with"]}, r"eval: .* names a condition twice"),
    ],
)  # fmt: skip
def test_an_evaluation_that_cannot_be_is_one_line_before_anything_trains(
    tiny_store, changes, words
):
    experiment = Experiment.model_validate(content(tiny_store, evaluation=EVALUATION | changes))
    with pytest.raises(UserError, match=words) as error:
        check_evaluation(experiment, TokenStore.open(tiny_store))
    assert "\n" not in str(error.value)


def test_how_many_texts_an_evaluation_scores(tiny_store):
    """Of its own split, and all of it where it names no number."""
    store = TokenStore.open(tiny_store)
    there = {name: len(store.split(name)) for name in ("test", "train")}
    for more, expected in (
        ([], there["test"]),
        (["num_documents=3"], 3),
        (["num_documents=null"], there["test"]),
        (["split=train", "num_documents=1_000_000"], there["train"]),
    ):
        evaluation = EVALUATION | {"settings": ["metadata=full", *more]}
        experiment = Experiment.model_validate(content(tiny_store, evaluation=evaluation))
        check_evaluation(experiment, store)
        assert scored_documents(experiment, Path(tiny_store)) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--results", r"cannot write .*taken: File exists; mend that or give another output"),
        ("--page", r"cannot write .*taken: File exists; mend that or give another output"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_trains(tmp_path, tiny_store, given, words):
    (tmp_path / "taken").write_text("")
    path, work = file_of(tmp_path, store=tiny_store), tmp_path / "work"
    places = {"--results": tmp_path / "own.jsonl", "--page": tmp_path / "page.md"}
    places[given] = tmp_path / "taken" / "x"
    said = [str(word) for place in places.items() for word in place]
    found = CliRunner().invoke(command, [str(path), "--work", str(work), *said])
    with pytest.raises(UserError, match=words):
        raise found.exception
    assert [p.name for p in work.iterdir()] == [".lock"]


def test_results_of_another_commit_are_told_before_what_is_made_before(tmp_path, tiny_store):
    results = tmp_path / "own.jsonl"
    results.write_text(json.dumps(line("told", 1, {}, commit="d" * 40 + "+")) + "\n")
    before = {"made": ["synth", "output={before}/a", "documents=1000"]}
    path = file_of(tmp_path, store=tiny_store, before=before)
    said = ["--work", str(tmp_path / "work"), "--results", str(results),
            "--page", str(tmp_path / "page.md")]  # fmt: skip
    found = CliRunner().invoke(command, [str(path), *said])
    with pytest.raises(UserError, match=r"seed 1, is of commit dddddddddddd\+, and this code of"):
        raise found.exception
    assert not (tmp_path / "work" / "before").exists()


def test_what_a_command_calls_a_mistake_is_one(tmp_path):
    words = "geo-nemo synth ended with 2: synth: unknown key documnts"
    with pytest.raises(UserError, match=words), mistakes_told():
        make_store(Corpus(synth=["documnts=9"]), tmp_path / "corpus", Processes(1))
    with pytest.raises(CommandFailed, match="it went wrong"), mistakes_told():
        raise CommandFailed("it went wrong", 1)


def test_a_corpus_that_changes_goes_at_once(tmp_path, monkeypatch):
    """A kill while it is removed leaves no part that the next command would take for it."""
    folder = tmp_path / "corpus"
    (folder / "prep").mkdir(parents=True)
    (folder / "made.json").write_text("of other words")

    def killed(place, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        make_store(Corpus(), folder, Processes(1))
    assert not folder.exists()


@pytest.mark.very_slow
def test_a_command_that_was_left_over_ends_before_the_next_begins(tmp_path):
    """It is told by when it started, for another process may have its number by now."""
    left = subprocess.Popen(["sleep", "3"])
    try:
        (tmp_path / PID).write_text(_note(left.pid))
        begin = time.monotonic()
        Processes(1).run(["recipes", "list", "stages"], tmp_path / "log")
        assert left.poll() == 0 and time.monotonic() - begin > 1
    finally:
        left.kill()
        left.wait()
    number, started = _note(os.getpid()).split()
    for other in (f"{number} {int(started) + 1}", number, "none"):
        (tmp_path / PID).write_text(other)
        Processes(1).run(["recipes", "list", "stages"], tmp_path / "log")


def test_a_disk_that_takes_no_more_ends_the_command_that_was_started(tmp_path):
    (tmp_path / PID).mkdir()
    processes = Processes(1)
    with pytest.raises(UserError, match=r"cannot write .*pid: Is a directory; mend that or give"):
        processes.run(["status", str(tmp_path), "--watch", "60"], tmp_path / "log")
    assert not processes._running
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*folder: Is a directory"):
        processes.run(["recipes"], tmp_path / "folder")
