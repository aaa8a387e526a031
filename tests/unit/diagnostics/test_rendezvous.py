"""Where a job meets: names that do not resolve, ports that are taken, and what is no concern."""

import errno
import socket
from types import SimpleNamespace

import pytest

from geo_nemo.diagnostics import rendezvous
from geo_nemo.diagnostics.rendezvous import check_rendezvous
from geo_nemo.runtime.launcher import adopt_slurm_step, rendezvous_port

HERE = "127.0.0.1"
# TEST-NET-1 of RFC 5737: no machine has it.
ELSEWHERE = "192.0.2.1"
JOB = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "gpu[007-008]", "SLURM_JOB_NUM_NODES": "2"}


@pytest.fixture
def taken():
    """A port of this machine at which another listens."""
    with socket.create_server((HERE, 0)) as server:
        yield str(server.getsockname()[1])


@pytest.fixture
def free():
    """A port at which nobody listened a moment ago."""
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
    return str(port)


@pytest.fixture
def names(monkeypatch):
    """Let some names resolve, and no others."""
    known: dict[str, str] = {}

    def look_up(host, port, **options):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], 0))]

    monkeypatch.setattr(rendezvous.socket, "getaddrinfo", look_up)
    return known


@pytest.fixture
def held(monkeypatch):
    """Ports that are taken, whoever listens on this machine: those of a job are no free choice."""
    ports: set[int] = set()

    def listen(address, **options):
        if address[1] in ports:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(rendezvous.socket, "create_server", listen)
    return ports


def only(environment):
    (finding,) = check_rendezvous(environment)
    assert finding.topic == "rendezvous"
    assert bool(finding.mend) == (finding.level != "ok")
    return finding.level, finding.text


@pytest.mark.parametrize(
    "environment",
    [{}, {"RANK": "0"}, {"SLURM_JOB_ID": "1", "SLURM_JOB_NODELIST": "n1", "SLURM_NTASKS": "1"}],
    ids=["nothing", "one process", "a job of one task"],
)
def test_where_nobody_meets_nothing_is_said(environment):
    assert list(check_rendezvous(environment)) == []


def test_a_free_port_of_this_machine(free):
    level, text = only({"MASTER_ADDR": HERE, "MASTER_PORT": free})
    assert (level, text) == (
        "ok",
        f"MASTER_ADDR={HERE} resolves to {HERE}, its port {free} free",
    )


def test_a_port_that_another_has_is_a_problem(taken):
    level, text = only({"MASTER_ADDR": HERE, "MASTER_PORT": taken})
    assert level == "problem"
    assert text.endswith(f"and another process has its port {taken}")
    # torchrun has it where its own store serves; and one process of a node looks.
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    level, text = only({"MASTER_ADDR": HERE, "MASTER_PORT": taken, **agent})
    assert level == "ok" and f"torchrun itself holds its port {taken}" in text
    assert only({"MASTER_ADDR": HERE, "MASTER_PORT": taken, "SLURM_LOCALID": "1"})[0] == "ok"


def test_a_port_of_another_machine_is_not_looked_at_here(taken):
    level, text = only({"MASTER_ADDR": ELSEWHERE, "MASTER_PORT": taken})
    assert level == "ok" and text.endswith("whether its port is free is known there alone")


@pytest.mark.parametrize("port", ["0", "65536", "a", "-1"])
def test_what_is_no_port_is_a_problem(port):
    level, text = only({"MASTER_ADDR": HERE, "MASTER_PORT": port})
    assert level == "problem" and f"MASTER_PORT={port} is no port" in text


def test_a_port_that_may_not_be_had_is_a_problem(monkeypatch):
    def refuses(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(rendezvous.socket, "create_server", refuses)
    level, text = only({"MASTER_ADDR": HERE, "MASTER_PORT": "80"})
    assert level == "problem" and "its port 80 cannot be had (Permission denied)" in text


def test_a_name_that_does_not_resolve_is_a_problem(names):
    level, text = only({"MASTER_ADDR": "gpu007", "MASTER_PORT": "29500"})
    assert level == "problem"
    assert text == "MASTER_ADDR=gpu007 does not resolve here (Name or service not known)"


def test_a_name_that_cannot_be_one_is_a_problem():
    level, text = only({"MASTER_ADDR": "a..b"})
    assert level == "problem" and "does not resolve here" in text


def test_half_of_a_place_is_told():
    level, text = only({"MASTER_PORT": "29500"})
    assert level == "note" and "MASTER_ADDR is not" in text
    level, text = only({"MASTER_ADDR": HERE})
    assert (level, text) == ("ok", f"MASTER_ADDR={HERE} resolves to {HERE}")


@pytest.mark.parametrize("host", [HERE, "localhost", "::1"])
def test_what_each_node_has_for_itself_is_no_place_for_several(host, free):
    first, *_ = check_rendezvous({**JOB, "MASTER_ADDR": host, "MASTER_PORT": free})
    assert first.level == "note" and first.mend.startswith("unset MASTER_ADDR")
    first, *_ = check_rendezvous({"MASTER_ADDR": host, "MASTER_PORT": free})
    assert first.level == "ok"


def test_a_job_s_first_node_must_resolve(names):
    environment = {**JOB, "SLURM_NTASKS": "2"}
    level, text = only(environment)
    assert level == "problem"
    assert text.startswith("gpu007, the first node of SLURM's list, does not resolve here")
    # The step of doctor has a task a node; the training has as many as train.sbatch tells.
    names["gpu007"] = ELSEWHERE
    assert only({**JOB, "SLURM_NTASKS": "1", "GEO_NEMO_TASKS": "8"})[0] == "ok"
    assert list(check_rendezvous({**JOB, "SLURM_NTASKS": "2", "GEO_NEMO_TASKS": "1"})) == []
    level, text = only({**environment, "SLURM_JOB_NODELIST": ""})
    assert level == "problem" and "has no host to meet at" in text


@pytest.mark.parametrize("ahead", [1, 2])
def test_the_ports_of_the_steps_to_come_must_be_free(names, held, ahead):
    names["gpu007"] = HERE
    doctor = {**JOB, "GEO_NEMO_TASKS": "2", "SLURM_STEP_ID": "1"}
    level, text = only(doctor)
    first = rendezvous_port(doctor) + 1
    assert level == "ok" and text.endswith(f"its ports {first}, {first + 1} free")
    training = {**JOB, "SLURM_STEP_ID": str(1 + ahead), "SLURM_PROCID": "0",
                "SLURM_STEP_NUM_TASKS": "2"}  # fmt: skip
    assert adopt_slurm_step(training)
    held.add(int(training["MASTER_PORT"]))
    level, text = only(doctor)
    assert level == "problem"
    assert text.endswith(f"another process has its port {training['MASTER_PORT']}")


def test_a_shell_in_a_job_is_no_step(names, held):
    names["gpu007"] = HERE
    for step in ({}, {"SLURM_STEP_ID": "4294967290"}):
        level, text = only({**JOB, "SLURM_NTASKS": "2", **step})
        first = 10_000 + 4711 * 17 % 20_000
        assert level == "ok" and text.endswith(f"its ports {first}, {first + 1} free")
