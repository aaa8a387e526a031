"""What a run is made of, before it trains: once a node, once a job, and in every layout."""

import shutil

import pytest

from geo_nemo.config import Data, UserError
from geo_nemo.config.validation import Validation
from geo_nemo.data.index.cache import wait_for
from geo_nemo.train import collectives, setup
from tests.support.tiny import tiny_run


def test_other_ranks_wait_for_every_later_index_before_they_meet(tiny_store, tmp_path, monkeypatch):
    """A later stage's may take longer to build than a collective operation may take."""
    prepared = setup.prepare(tiny_run(tiny_store, tmp_path), world_size=2)
    for stage in prepared.stages:
        prepared.index(stage)  # as rank 0
    prepared.indices.clear()
    done = []

    def waits(place, progress):
        done.append(place.stage)
        return wait_for(place, progress)

    monkeypatch.setattr(setup, "rank", lambda: 1)
    monkeypatch.setattr(setup, "wait_for", waits)
    monkeypatch.setattr(collectives, "meet", lambda: done.append("meet"))
    sequences = prepared.dataset(prepared.stages[0])
    assert done == ["condition", "cooldown", "meet", "condition"]
    assert len(sequences) == 24


def test_the_store_s_files_are_looked_at_once_a_node(tiny_store, tmp_path, monkeypatch):
    shutil.copytree(tiny_store, tmp_path / "store")
    next((tmp_path / "store").glob("train/*/year.bin")).write_bytes(b"")
    run = tiny_run(tmp_path / "store", tmp_path / "out")
    monkeypatch.setenv("LOCAL_RANK", "1")
    setup.prepare(run, world_size=1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(UserError, match=r"year.bin has 0 bytes"):
        setup.prepare(run, world_size=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parallel": {"tensor": 2, "sequence_parallel": True}}, "= 101 tokens are not a multiple"),
        ({"precision": {"fp8": {"recipe": "tensorwise"}}}, "= 101 tokens are not a multiple of 16"),
    ],
)
def test_a_validation_s_single_sequences_must_fit_too(tiny_store, tmp_path, changes, words):
    """A micro-batch of sixteen such sequences does."""
    run = tiny_run(
        tiny_store,
        tmp_path,
        data=Data(store=str(tiny_store), seq_length=101),
        train={"steps": 6, "global_batch_size": 32, "micro_batch_size": 16, "warmup_steps": 2},
        **changes,
    )
    setup.prepare(run, world_size=2)
    validated = run.model_copy(update={"validation": Validation(every_steps=3)})
    with pytest.raises(UserError, match=f"validation.every_steps, a sequence at a time: .*{words}"):
        setup.prepare(validated, world_size=2)
