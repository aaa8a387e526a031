"""Samples of what was dropped, for a person to read."""

from pathlib import Path

import orjson
import pytest

from data_prep.config import Prep
from data_prep.corpus_out import Drops
from data_prep.engine import run_stage
from data_prep.engine.receipt import build_task_folder
from data_prep.engine.stage import Task
from data_prep.graph import run_prep, stages
from data_prep.ingest import Ingest
from data_prep.splits import split_stages
from tests.unit.data_prep.splits.corpora import Corpus, document, end_ingest, make_corpus
from tests.unit.data_prep.worlds import record, write_jsonl


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Corpus:
    documents = [document(i, ("gb", "ke")[i % 2]) for i in range(300)]
    made = make_corpus(
        tmp_path, documents, 80, clean={"samples_per_reason": 10}, balance={"cap_all": 100}
    )
    made.dropped = {n: ("near_duplicate", n - 200) for n in range(210, 240)}
    made.dropped |= {250: ("held_by_earlier_run", 250), 251: ("duplicate_id", 3)}
    made.install(monkeypatch)
    # Ingest as it would have been done, with its own samples.
    task = Task("00000", "key", 1, {})
    lines = [
        orjson.dumps({"reason": reason, "file": "raw.jsonl", "number": n, "detail": "none"})
        for reason, count in (("broken_json", 3), ("gopher_quality.stop_words", 14))
        for n in range(count)
    ]  # fmt: skip
    folder = Ingest(made.config).task_folder("00000")
    parts = {path.name: path.read_bytes() for path in folder.iterdir()}

    def build(partial: Path) -> dict:
        for name, content in parts.items():
            (partial / name).write_bytes(content)
        (partial / "drops.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        return {"parts": []}

    build_task_folder(folder, task.key, build)
    end_ingest(made.config, task)
    return made


def run(corpus: Corpus) -> dict[str, list[dict]]:
    for stage in (*split_stages(), Drops):
        run_stage(stage(corpus.config))
    folder = Path(corpus.config.output) / "drops"
    return {
        path.name.removesuffix(".jsonl"): list(map(orjson.loads, path.read_bytes().splitlines()))
        for path in sorted(folder.glob("*.jsonl"))
    }


def test_every_reason_has_its_file_with_at_most_the_samples_asked_for(corpus):
    found = run(corpus)
    counts = {reason: len(lines) for reason, lines in found.items()}
    assert counts == {
        "broken_json": 3, "duplicate_id": 1, "gopher_quality.stop_words": 10,
        "held_by_earlier_run": 1, "near_duplicate": 10, "over_cap": 10,
    }  # fmt: skip
    assert all(line["reason"] == reason for reason, lines in found.items() for line in lines)


def test_a_near_duplicate_names_the_document_that_was_kept_for_it(corpus):
    for line in run(corpus)["near_duplicate"]:
        number = int(line["id"].removeprefix("doc-"))
        assert number in range(210, 240)
        assert line["first"]["id"] == f"doc-{number - 200}"
        assert line["first"]["url"] == corpus.documents[number - 200].url
        assert line["excerpt"] == corpus.documents[number].text[:300]


def test_what_is_no_copy_names_no_other_document(corpus):
    found = run(corpus)
    assert all("first" not in line for line in found["over_cap"] + found["held_by_earlier_run"])
    assert {line["country"] for line in found["over_cap"]} == {"gb", "ke"}


def test_fields_of_the_user_s_own_take_no_name_of_a_sample_s(tmp_path):
    rows = [record(i, reason="politics", first="a", excerpt="b", topic="c") for i in range(3)]
    write_jsonl(tmp_path / "in.jsonl", [*rows, rows[1] | {"id": "again"}])
    config = Prep.model_validate({
        "input": str(tmp_path / "in.jsonl"), "output": str(tmp_path / "out"),
        "fields": {"extra": ["reason", "first", "excerpt", "topic"]}, "execution": {"workers": 1},
    })  # fmt: skip
    names = [stage.name for stage in stages(config)]
    run_prep(config, only=names[: names.index(Drops.name) + 1])
    (line,) = (tmp_path / "out/drops/duplicate_content.jsonl").read_bytes().splitlines()
    found = orjson.loads(line)
    own = {"own_reason": "politics", "own_first": "a", "own_excerpt": "b", "topic": "c"}
    assert found["reason"] == "duplicate_content" and found["excerpt"] == rows[1]["text"]
    assert found["first"]["id"] == "doc-1"
    for each in (found, found["first"]):
        assert {name: each[name] for name in own} == own


def test_a_sample_is_a_fair_one_not_the_first_rows(corpus):
    numbers = [int(line["id"].removeprefix("doc-")) for line in run(corpus)["near_duplicate"]]
    assert sorted(numbers) != list(range(210, 220))
    assert len(set(numbers)) == 10


def test_a_second_run_gives_the_same_samples(corpus):
    assert run(corpus) == run(corpus)
