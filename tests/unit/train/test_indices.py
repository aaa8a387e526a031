"""Packing indices at the start of a stage: no rank waits for one in a collective operation."""

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
