"""How a process leaves the others: NCCL's groups not at all where it has failed."""

import pytest
import torch

from geo_nemo.common import stuck
from geo_nemo.runtime import distributed


class Groups:
    """torch.distributed, as far as `world` calls it, of two processes."""

    def __init__(self):
        self.left, self.given = 0, {}

    def init_process_group(self, backend, **given):
        self.given = given

    def destroy_process_group(self):
        self.left += 1

    def get_world_size(self):
        return 2


@pytest.fixture
def groups(monkeypatch):
    made = Groups()
    monkeypatch.setattr(distributed, "dist", made)
    monkeypatch.setattr(distributed, "prepare_megatron", lambda device: None)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(stuck, "_at_work", [])
    return made


def fails(device):
    with pytest.raises(ZeroDivisionError), distributed.world(torch.device(device)):
        _ = 1 // 0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_process_that_is_done_leaves(groups, device):
    with distributed.world(torch.device(device)):
        pass
    assert (groups.left, stuck._at_work) == (1, [])
    assert "device_id" not in groups.given


def test_of_gloo_one_that_fails_leaves(groups):
    fails("cpu")
    assert (groups.left, stuck._at_work) == (1, [])


def test_of_nccl_one_that_fails_ends_without_waiting_for_the_others(groups, monkeypatch):
    fails("cuda")
    assert groups.left == 0
    ended = []
    monkeypatch.setattr(stuck.os, "_exit", ended.append)
    with pytest.raises(SystemExit):  # which the real _exit does not come to
        stuck.end_process(1)
    assert ended == [1]
