"""The split behind the real deduplication and overlap, not their stand-ins."""

import random
from pathlib import Path

import numpy as np
import pytest

from data_prep.corpus_out import CorpusStage, read_corpus
from data_prep.dedup import dedup_stages
from data_prep.engine import run_stage
from data_prep.final import final_outcomes
from data_prep.overlap import overlap_stages
from data_prep.splits import OUTCOMES, split_stages
from tests.unit.data_prep.splits.corpora import document, make_corpus

WORDS = [f"word{n}" for n in range(3000)]


def variants(number: int, copies: int):
    """`number` texts of 200 words, each in `copies` versions that differ in a word."""
    found = []
    for text in range(number):
        words = random.Random(text).sample(WORDS, 200)
        for copy in range(copies):
            body = " ".join([*words[:-1], f"version{copy}"])
            found.append(document(text * copies + copy, ("gb", "ke", "us")[copy % 3], text=body))
    return found


def run(config) -> list[str]:
    from data_prep.ingest import all_parts

    for stage in (*dedup_stages(), *split_stages(), *overlap_stages(), CorpusStage):
        run_stage(stage(config))
    return [OUTCOMES[o] for part in all_parts(config) for o in final_outcomes(config, part)]


@pytest.mark.parametrize("action", ["keep", "drop"])
def test_versions_of_a_text_are_never_in_two_splits(tmp_path, action):
    documents = variants(80, 3)
    random.Random(1).shuffle(documents)
    corpus = make_corpus(
        tmp_path, documents, 50,
        dedup={"near": {"action": action}},
        splits={"train": 0.5, "validation": 0.2, "test": 0.3},
    )  # fmt: skip
    outcomes = run(corpus.config)
    splits: dict[int, set[str]] = {}
    for each, outcome in zip(documents, outcomes, strict=True):
        if outcome != "near_duplicate":
            splits.setdefault(int(each.id.removeprefix("doc-")) // 3, set()).add(outcome)
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}
    kept = {"keep": 240, "drop": 80}[action]
    assert sum(outcome != "near_duplicate" for outcome in outcomes) == kept
    rows = [
        row for s in ("train", "validation", "test") for row in read_corpus(tmp_path / "corpus", s)
    ]
    assert len(rows) == kept
    # A cluster has the hash of the first document in order, of whichever version that is.
    first: dict[int, int] = {}
    for each in documents:
        text = int(each.id.removeprefix("doc-")) // 3
        first.setdefault(text, int.from_bytes(each.hash[:8]))
    for row in rows:
        assert row["cluster"] == first[int(row["id"].removeprefix("doc-")) // 3]


def test_training_texts_that_hold_an_evaluation_are_out(tmp_path):
    documents = variants(60, 1)
    evaluation = tmp_path / "questions.jsonl"
    held = " ".join(documents[7].text.split()[20:60])
    evaluation.write_text(f'{{"text": "{held}"}}\n')
    corpus = make_corpus(
        tmp_path / "out", documents, 25,
        overlap={"evaluations": [str(evaluation)]},
        splits={"train": 1.0, "validation": 0.0, "test": 0.0},
    )  # fmt: skip
    outcomes = run(corpus.config)
    assert np.flatnonzero(np.array(outcomes) == "evaluation_overlap").tolist() == [7]
    assert "doc-7" not in {
        d["id"] for d in read_corpus(Path(corpus.config.output) / "corpus", "train")
    }
