"""A store, a run and its checkpoint that commit 3ff4b84 wrote still give the same bits."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from geo_nemo.store import TokenStore
from geo_nemo.train.callbacks import Metrics
from geo_nemo.train.setup import prepare
from tests.support.runs import trainer
from tests.support.written import (
    SAVED,
    STEPS,
    observe_batches,
    observe_scores,
    observe_store,
    tiny_settings,
)

HERE = Path(__file__).parents[1] / "fixtures" / "3ff4b84"
STORE = HERE / "store"
EXPECTED = json.loads((HERE / "expected.json").read_text())


@pytest.fixture
def run(tmp_path):
    """The settings of the run, over a copy of its folder."""
    shutil.copytree(HERE / "run", tmp_path / "run")
    return tiny_settings(str(STORE), str(tmp_path / "run"))


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Node and content of every file: a rewritten file is another one, even with equal bytes."""
    found = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.read_bytes()) for p in found}


@pytest.fixture(scope="module")
def observed():
    return observe_store(STORE)


@pytest.mark.parametrize("what", ["store", "tokenizer", "policies", "columns", "records"])
def test_a_store_and_a_policy_are_what_they_were(observed, what):
    assert observed[what] == EXPECTED[what]


@pytest.mark.parametrize("name", EXPECTED["rows"])
def test_rows_are_what_they_were(observed, name):
    assert observed["rows"][name] == EXPECTED["rows"][name]


def test_the_fingerprint_of_the_same_settings_is_what_it_was(run):
    assert prepare(run, world_size=1).fingerprint == EXPECTED["fingerprint"]


def test_a_run_goes_on_from_its_checkpoint_over_its_index(run, single_process):
    index = Path(run.output_dir, "index")
    before = files(index)
    torch.use_deterministic_algorithms(True)
    try:
        made = trainer(run)
        store = TokenStore.open(STORE)
        path = Path(run.output_dir, "metrics.jsonl")
        vocab_size = store.tokenizer().vocab_size
        made.callbacks = [Metrics(path, run, made.prepared.groups, vocab_size, made.engine)]
        assert made.fit()
    finally:
        torch.use_deterministic_algorithms(False)
    assert files(index) == before and before
    seen, expected = observe_batches(path), EXPECTED["batches"][SAVED:]
    assert [line["step"] for line in seen] == [*range(SAVED, STEPS)]
    for line, before in zip(seen, expected, strict=True):
        assert line["batch_digest"] == before["batch_digest"]
        # Machines round differently; batches they do not.
        assert line["loss"] == pytest.approx(before["loss"], rel=1e-5)


def test_a_run_is_evaluated_on_the_same_tokens_to_the_same_losses(tmp_path, single_process):
    seen = observe_scores(HERE / "run", STORE, tmp_path / "eval")
    expected = EXPECTED["scores"]
    for name in ("index", "token_hash", "keys"):
        assert seen[name] == expected[name]
    for name in ("title", "body"):
        for ours, before in zip(seen[name], expected[name], strict=True):
            assert ours == pytest.approx(before, rel=1e-5, abs=1e-4)
