"""A task of an srun step knows its place as a worker of torchrun does."""

import pytest

from geo_nemo.config import UserError
from geo_nemo.runtime.launcher import (
    adopt_slurm_step,
    first_host,
    rank,
    rendezvous_port,
    world_size,
)

STEP = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NUM_TASKS": "20",
    "SLURM_STEP_NODELIST": "gpu[007-008,12]",
    "SLURM_STEP_TASKS_PER_NODE": "8(x2),4",
    "SLURM_PROCID": "17",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
}


def test_a_task_of_a_step_is_told_its_place_in_torchrun_s_words():
    environment = dict(STEP)
    assert adopt_slurm_step(environment)
    added = {key: value for key, value in environment.items() if key not in STEP}
    assert added == {
        "RANK": "17",
        "WORLD_SIZE": "20",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "gpu007",
        "MASTER_PORT": str(10_000 + (4711 * 17 + 2) % 20_000),
    }


def test_what_the_user_has_set_stays():
    environment = {**STEP, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
    assert adopt_slurm_step(environment)
    assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("10.0.0.1", "29500")


@pytest.mark.parametrize(
    "changes",
    [
        {"RANK": "0"},  # torchrun within a step
        {"SLURM_STEP_NUM_TASKS": "1"},  # srun --pty bash
        {"SLURM_STEP_NUM_TASKS": ""},  # the batch script
    ],
)
def test_what_is_no_launch_of_many_is_left_alone(changes):
    environment = {**STEP, **changes}
    before = dict(environment)
    assert not adopt_slurm_step(environment)
    assert environment == before
    assert not adopt_slurm_step({})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[007-009,12],cpu1", "gpu007"),
        ("gpu[12,7]", "gpu12"),
        ("node-a,node-b", "node-a"),
        ("login.site.example", "login.site.example"),
        ("rack[1-2]-gpu", "rack1-gpu"),
        ("localhost", "localhost"),
    ],
)
def test_the_first_host_of_a_list(nodes, first):
    assert first_host(nodes) == first


def test_a_list_without_a_host_is_one_line():
    with pytest.raises(UserError, match=r"has no host to meet at: set MASTER_ADDR"):
        first_host("")


def test_ports_stay_in_their_range_and_differ_between_steps():
    ports = {
        rendezvous_port({"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)})
        for job in (1, 999, 4_000_000)
        for step in range(3)
    }
    assert len(ports) == 9
    assert all(10_000 <= port < 30_000 for port in ports)


def test_a_place_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("RANK", "")
    assert rank() == 0
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UserError, match="WORLD_SIZE=two is no number: start by torchrun or srun"):
        world_size()
