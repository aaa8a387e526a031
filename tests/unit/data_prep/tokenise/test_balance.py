"""A tokenizer's sample that is balanced by group."""

from collections import Counter

import pytest

from data_prep.config import Prep
from data_prep.graph import run_prep
from data_prep.ingest import all_parts
from data_prep.parts import read_part
from data_prep.tokenise.sample import equal_fractions, sample_train_texts
from tests.unit.data_prep.worlds import record, write_jsonl


@pytest.mark.parametrize(
    ("held", "wanted", "given"),
    [
        ({"a": 100, "b": 100}, 50, {"a": 25, "b": 25}),
        ({"a": 1000, "b": 10}, 100, {"a": 90, "b": 10}),
        ({"a": 1000, "b": 10, "c": 300}, 100, {"a": 45, "b": 10, "c": 45}),
        ({"a": 10, "b": 20}, 100, {"a": 10, "b": 20}),
        ({"a": 10, "b": 0}, 5, {"a": 5}),
    ],
)
def test_groups_give_equally_much_or_all(held, wanted, given):
    fractions = equal_fractions(held, wanted)
    assert {
        name: pytest.approx(fraction * held[name]) for name, fraction in fractions.items()
    } == given


def test_the_sample_holds_equally_much_of_each_country(tmp_path):
    rows = [record(i, ("gb", "gb", "gb", "gb", "ke")[i % 5]) for i in range(1500)]
    write_jsonl(tmp_path / "a.jsonl", rows)

    def sampled(**tokenizer):
        config = Prep.model_validate(
            {"input": str(tmp_path / "a.jsonl"), "output": str(tmp_path / "out"),
             "execution": {"workers": 1}, "splits": {"train": 1, "validation": 0, "test": 0},
             "tokenizer": {"vocab_size": 400, "sample_bytes": 40_000, **tokenizer}}
        )  # fmt: skip
        run_prep(config, only=("ingest", *STAGES))
        country = {}
        for part in all_parts(config):
            for batch in read_part(part.path, ["text", "country"]):
                country |= dict(zip(*(c.to_pylist() for c in batch.columns), strict=True))
        found: Counter[str] = Counter()
        for text in sample_train_texts(config, lambda done, documents: None):
            if text in country:
                found[country[text]] += len(text)
        return found

    fair, even = sampled(), sampled(balance="country")
    assert 2.5 < fair["gb"] / fair["ke"] < 6.5
    assert 0.75 < even["gb"] / even["ke"] < 1.33
    assert 0.8 < sum(even.values()) / sum(fair.values()) < 1.25


STAGES = (
    "fingerprint", "dedup_ids", "dedup_content", "dedup_near", "dedup", "units", "split", "assign",
    "overlap_texts", "overlap_index", "overlap",
)  # fmt: skip
