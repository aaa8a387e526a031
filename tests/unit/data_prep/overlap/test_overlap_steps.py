"""The stages find exactly the training documents that hold an evaluation text."""

import random
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from data_prep.config import Prep
from data_prep.engine import run_stage
from data_prep.ingest import all_parts
from data_prep.overlap import OverlapStage, hit_keys, hits, overlap_stages, report_rows
from data_prep.splits import OUTCOMES
from tests.unit.data_prep.dedup.corpora import Doc, make, text_of
from tests.unit.data_prep.splits.corpora import document, make_corpus

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data" / "localnewsqa_sample.parquet"
QUESTION = "Which minister opened the new harbour bridge in Mombasa last year?"


@pytest.fixture
def splits(monkeypatch) -> dict[int, str]:
    """Outcome of documents by number; all others are in train."""
    chosen: dict[int, str] = {}

    def outcomes(config, part) -> np.ndarray:
        numbers = range(part.start, part.start + part.documents)
        return np.array([OUTCOMES.index(chosen.get(n, "train")) for n in numbers], np.uint8)

    def assign(config):
        keys = [f"{part.id} {sorted(chosen.items())}" for part in all_parts(config)]
        return SimpleNamespace(tasks=lambda: [SimpleNamespace(key=key) for key in keys])

    monkeypatch.setattr("data_prep.splits.outcomes", outcomes)
    monkeypatch.setattr("data_prep.splits.Assign", assign)
    return chosen


def with_overlap(config: Prep, **overlap) -> Prep:
    return Prep(**config.model_dump() | {"overlap": overlap})


def evaluation(folder: Path, questions: list[str], name: str = "qa.jsonl") -> str:
    lines = (orjson.dumps({"question": q}, option=orjson.OPT_APPEND_NEWLINE) for q in questions)
    (folder / name).write_bytes(b"".join(lines))
    return str(folder / name)


def run(config: Prep) -> list[int]:
    """Numbers of the documents that are hit."""
    for stage in overlap_stages():
        run_stage(stage(config))
    found = [hits(config, part) for part in all_parts(config)]
    return np.flatnonzero(np.concatenate(found)).tolist()


def report(config: Prep) -> list[dict]:
    stage = OverlapStage(config)
    lines = b"".join(
        (stage.task_folder(task.id) / "report.jsonl").read_bytes() for task in stage.tasks()
    )
    return [orjson.loads(line) for line in lines.splitlines()]


def planted(text: str, question: str) -> str:
    words = text.split()
    return " ".join([*words[:90], question.upper().replace("?", " -"), *words[90:]])


def test_a_planted_question_is_found_and_reported(tmp_path, splits):
    docs = [Doc(text_of(i), f"id-{i}") for i in range(6)]
    docs[4] = Doc(planted(docs[4].text, QUESTION), "id-4")
    config = make(tmp_path / "out", [docs[:3], docs[3:]])
    other = "Who was it that never came to the meeting of the council?"
    config = with_overlap(config, evaluations=[evaluation(tmp_path, [other, QUESTION, "Who?"])])
    assert run(config) == [4]
    assert report(config) == [
        {"set": "qa.jsonl", "record": 2, "field": "question", "document": "id-4", "share": 1.0}
    ]
    assert report_rows(config) == [
        {"name": "qa.jsonl", "texts": 2, "contaminated": 1, "documents": 1}
    ]


def test_a_question_in_the_title_is_found(tmp_path, splits):
    docs = [document(0), document(1, title=QUESTION), document(2)]
    config = make_corpus(tmp_path / "out", docs, 2).config
    config = with_overlap(config, evaluations=[evaluation(tmp_path, [QUESTION])])
    assert run(config) == [1]


def test_only_training_documents_are_hit(tmp_path, splits):
    splits.update({0: "test", 1: "over_cap", 2: "near_duplicate"})
    docs = [Doc(planted(text_of(i), QUESTION), f"id-{i}") for i in range(5)]
    config = make(tmp_path / "out", [docs])
    config = with_overlap(config, evaluations=[evaluation(tmp_path, [QUESTION])])
    assert run(config) == [3, 4]


def test_a_passage_counts_from_its_share_on(tmp_path, splits):
    passage = text_of(100, 60)  # 48 13-grams
    words = passage.split()
    docs = [Doc(text_of(i) + " " + " ".join(words[:take]), f"id-{i}")
            for i, take in enumerate((12, 35, 36, 60))]  # fmt: skip
    config = make(tmp_path / "out", [docs])
    files = [evaluation(tmp_path, [passage])]
    assert run(with_overlap(config, evaluations=files)) == [2, 3]
    assert [row["share"] for row in report(with_overlap(config, evaluations=files))] == [0.5, 1.0]
    assert run(with_overlap(config, evaluations=files, share=0.01)) == [1, 2, 3]


def test_report_only_removes_nothing_and_counts_all(tmp_path, splits):
    docs = [Doc(planted(text_of(i), QUESTION), f"id-{i}") for i in range(3)]
    config = make(tmp_path / "out", [docs])
    files = [evaluation(tmp_path, [QUESTION])]
    config = with_overlap(config, evaluations=files, action="report")
    assert run(config) == []
    assert hit_keys(config) == [""]
    assert report_rows(config)[0]["documents"] == 3


def test_held_out_documents_take_what_holds_half_of_them_from_train(tmp_path, splits):
    splits.update({0: "test", 1: "validation", 2: "test"})
    texts = [text_of(i) for i in range(8)]
    half = texts[0].split()[:120]
    docs = [Doc(text, f"id-{i}") for i, text in enumerate(texts)]
    docs[5] = Doc(text_of(50) + " " + " ".join(half), "id-5")
    docs[6] = Doc(texts[1] + " and a last word", "id-6")
    docs[7] = Doc(text_of(70) + " " + " ".join(half[:60]), "id-7")
    config = with_overlap(make(tmp_path / "out", [docs[:3], docs[3:]]), held_out=True)
    assert run(config) == [5, 6]
    assert [(row["set"], row["record"], row["field"]) for row in report(config)] == [
        ("test", 0, None), ("validation", 1, None),
    ]  # fmt: skip
    assert report_rows(config) == [
        {"name": "validation", "texts": 1, "contaminated": 1, "documents": 1},
        {"name": "test", "texts": 2, "contaminated": 1, "documents": 1},
    ]


def test_parts_and_empty_parts_make_no_difference(tmp_path, splits):
    docs = [Doc(planted(text_of(i), QUESTION) if i % 3 == 0 else text_of(i), f"id-{i}")
            for i in range(20)]  # fmt: skip
    splits.update({1: "test", 3: "test"})
    files = [evaluation(tmp_path, [QUESTION])]
    whole = with_overlap(make(tmp_path / "a", [docs]), evaluations=files, held_out=True)
    parts = [docs[:7], [], docs[7:8], docs[8:]]
    cut = with_overlap(make(tmp_path / "b", parts), evaluations=files, held_out=True)
    assert run(whole) == run(cut) == [0, 6, 9, 12, 15, 18]
    assert report_rows(whole) == report_rows(cut)


def test_without_evaluations_nothing_is_done(tmp_path, splits):
    config = make(tmp_path / "out", [[Doc("a", "a")], [Doc("b", "b")]])
    assert run(config) == [] and report_rows(config) == []
    assert hit_keys(config) == ["", ""]
    assert all(stage(config).tasks() == [] for stage in overlap_stages())


def test_the_key_of_a_part_changes_only_with_its_hits(tmp_path, splits):
    docs = [Doc(planted(text_of(i), QUESTION) if i == 3 else text_of(i), f"{i}") for i in range(4)]
    config = make(tmp_path / "out", [docs[:2], docs[2:]])
    other = with_overlap(config, evaluations=[evaluation(tmp_path, ["no such words at all here"])])
    run(other)
    before = hit_keys(other)
    config = with_overlap(config, evaluations=[evaluation(tmp_path, [QUESTION], "new.jsonl")])
    run(config)
    after = hit_keys(config)
    assert before[0] == after[0] and before[1] != after[1]


def test_the_report_of_a_part_is_cut_and_its_counts_are_not(tmp_path, splits, monkeypatch):
    monkeypatch.setattr("data_prep.overlap.overlap_steps.REPORT_ROWS", 2)
    docs = [Doc(planted(text_of(i), QUESTION), f"id-{i}") for i in range(5)]
    config = with_overlap(
        make(tmp_path / "out", [docs]), evaluations=[evaluation(tmp_path, [QUESTION])]
    )
    assert run(config) == [0, 1, 2, 3, 4]
    assert len(report(config)) == 2 and report_rows(config)[0]["documents"] == 5


@pytest.mark.skipif(not SHARED.exists(), reason="the sample of LocalNewsQA is not here")
def test_planted_questions_of_localnewsqa_are_found_and_no_others(tmp_path, splits):
    questions = pq.read_table(SHARED, columns=["question"]).column("question").to_pylist()
    draw = random.Random(2)
    docs = [Doc(text_of(i), f"id-{i}") for i in range(300)]
    chosen = {draw.randrange(300): question for question in draw.sample(questions, 40)}
    for number, question in chosen.items():
        docs[number] = Doc(planted(docs[number].text, question), f"id-{number}")
    config = make(tmp_path / "out", [docs[:100], docs[100:]])
    config = with_overlap(config, evaluations=[str(SHARED)], fields=["question"])
    long = {n for n, question in chosen.items() if len(question.split()) >= 5}
    assert len(long) > 30
    assert set(run(config)) == long
    found = {(row["document"], questions[row["record"] - 1]) for row in report(config)}
    assert {(f"id-{n}", question) for n, question in chosen.items() if n in long} <= found


def test_after_the_real_split_copies_of_held_out_texts_leave_train(tmp_path):
    from data_prep.dedup import dedup_stages
    from data_prep.splits import outcomes, split_stages

    docs = [document(i, text=text_of(i, 80)) for i in range(60)]
    docs += [document(60 + i, text=text_of(i, 80) + " with three more") for i in range(60)]
    config = make_corpus(
        tmp_path / "out", docs, 50,
        splits={"train": 0.5, "validation": 0.2, "test": 0.3}, overlap={"held_out": True},
    ).config  # fmt: skip
    for stage in (*dedup_stages(), *split_stages()):
        run_stage(stage(config))
    split = np.concatenate([outcomes(config, part) for part in all_parts(config)])
    train = split == OUTCOMES.index("train")
    held_out = {i % 60 for i in np.flatnonzero(~train)}
    expected = [i for i in range(120) if train[i] and i % 60 in held_out]
    assert expected
    assert run(config) == expected


def test_letters_with_marks_are_found_however_a_text_has_them(tmp_path, splits):
    question = "Ông thị trưởng nói rằng cây cầu mới sẽ mở cửa vào tháng Năm tới"
    other = planted(text_of(1), unicodedata.normalize("NFD", question))
    config = make(tmp_path / "out", [[Doc(other, "a"), Doc(text_of(2), "b")]])
    assert run(with_overlap(config, evaluations=[evaluation(tmp_path, [question])])) == [0]


def test_a_set_is_called_by_its_path_as_soon_as_another_has_its_name(tmp_path, splits):
    config = make(tmp_path / "out", [[Doc(f"{QUESTION} {text_of(1)}")]])
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(evaluation(tmp_path / folder, [QUESTION]))
    for given, names in ((paths[:1], ["qa.jsonl"]), (paths, paths), (paths[:1], ["qa.jsonl"])):
        config = with_overlap(config, evaluations=given)
        run(config)
        assert [row["name"] for row in report_rows(config)] == names
