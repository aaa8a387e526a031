"""What processes of a job compare before they train together."""

import threading

import pytest

from geo_nemo.config import UserError
from geo_nemo.train import collectives
from geo_nemo.train.setup import prepare, shared_settings
from tests.support.tiny import tiny_run


class Ranks(threading.local):
    """torch.distributed for threads, each of which is a rank."""

    def __init__(self, number):
        self.number = number

    def is_initialized(self):
        return True

    def get_world_size(self):
        return len(self.told)

    def get_rank(self):
        return self.number

    def all_gather_object(self, values, value):
        self.told[self.number] = value
        self.barrier.wait()
        values[:] = self.told
        self.barrier.wait()


def said_by(monkeypatch, settings):
    """What each rank says of its own settings; empty where it finds nothing."""
    ranks, said = Ranks(0), [""] * len(settings)
    Ranks.told, Ranks.barrier = [None] * len(settings), threading.Barrier(len(settings), timeout=20)
    monkeypatch.setattr(collectives, "dist", ranks)

    def of_rank(number):
        ranks.number = number
        try:
            collectives.check_same_settings(settings[number])
        except UserError as error:
            said[number] = str(error)

    threads = [threading.Thread(target=of_rank, args=(n,)) for n in range(len(settings))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return said


def test_settings_that_differ_are_named_alike_by_every_rank(monkeypatch):
    same = {"train.lr": "0.1", "parallel.tensor": "2"}
    assert said_by(monkeypatch, [same] * 3) == [""] * 3
    (line,) = set(said_by(monkeypatch, [same, same, {**same, "parallel.tensor": "4"}, {}]))
    assert line.startswith("parallel.tensor is 2 for rank 0 and 4 for rank 2: ")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"checkpoint": {"every_steps": 4}}, "checkpoint.every_steps"),
        ({"parallel": {"recompute": "full"}}, "parallel.recompute"),
        ({"seed": 8}, "seed"),
    ],
)
def test_what_decides_where_ranks_meet_is_compared(tiny_store, tmp_path, changes, name):
    one, other = (
        shared_settings(prepare(tiny_run(tiny_store, tmp_path / "out", **each), 1))
        for each in ({}, changes)
    )
    assert one[name] != other[name]
    assert one["store (as it is read)"]
    assert not [key for key, value in one.items() if str(tmp_path) in value]
