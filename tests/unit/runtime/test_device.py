"""Which device is taken, and what a deterministic run asks of it."""

import os

import pytest
import torch

from geo_nemo.config import Parallel, UserError
from geo_nemo.runtime.device import allow_only_deterministic, keep_launch_order, resolve_device


@pytest.fixture
def environment(monkeypatch):
    for name in ("NVTE_ALLOW_NONDETERMINISTIC_ALGO", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield os.environ
    torch.use_deterministic_algorithms(False)


def test_auto_takes_the_gpu_of_the_local_rank_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("auto") == torch.device("cuda", 3)
    assert resolve_device("cpu") == torch.device("cpu")


def test_a_process_that_sees_its_own_gpu_alone_takes_that(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("gpu") == torch.device("cuda", 0)


def test_more_processes_than_gpus_are_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="LOCAL_RANK=2, and torch sees 2 GPUs here"):
        resolve_device("gpu")


@pytest.mark.parametrize(
    ("sizes", "found"), [({}, None), ({"tensor": 2}, "1"), ({"context": 2}, "1")]
)
def test_launches_keep_their_order_where_layers_are_divided(monkeypatch, sizes, found):
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "")
    monkeypatch.delenv("CUDA_DEVICE_MAX_CONNECTIONS")
    keep_launch_order(Parallel(**sizes))
    assert os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS") == found


def test_without_a_gpu_auto_is_the_cpu_and_gpu_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="device=gpu: torch sees no GPU here"):
        resolve_device("gpu")


def test_a_deterministic_run_on_a_gpu_forbids_what_does_not_repeat_itself(environment):
    allow_only_deterministic(torch.device("cuda", 0))
    assert environment["NVTE_ALLOW_NONDETERMINISTIC_ALGO"] == "0"
    assert environment["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert torch.are_deterministic_algorithms_enabled()


def test_a_workspace_that_the_user_chose_stays(environment):
    environment["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    allow_only_deterministic(torch.device("cuda", 0))
    assert environment["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_a_deterministic_run_on_a_cpu_sets_no_gpu_s_environment(environment):
    allow_only_deterministic(torch.device("cpu"))
    assert torch.are_deterministic_algorithms_enabled()
    assert "NVTE_ALLOW_NONDETERMINISTIC_ALGO" not in environment
