"""What a node shows of its network, on trees like those of real ones, and on this machine."""

import os
from pathlib import Path

import pytest

from geo_nemo.diagnostics.fabric import (
    Port,
    check_fabric,
    is_named,
    locked_memory_limit,
    up_networks,
)


class Node:
    """A file system's `sys`, `dev` and `proc`, as far as is looked at."""

    def __init__(self, root: Path):
        self.root = root

    def write(self, path: str, text: str = "") -> "Node":
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text + "\n")
        return self

    def rdma(self, name, rate="400 Gb/sec (4X NDR)", state="4: ACTIVE", link="InfiniBand",
             driver="mlx5_core", port=1):  # fmt: skip
        """A device as sysfs has it."""
        base = f"sys/class/infiniband/{name}"
        for file, text in (("rate", rate), ("state", state), ("link_layer", link)):
            self.write(f"{base}/ports/{port}/{file}", text)
        device = self.root / base / "device"
        if not device.is_dir():
            device.mkdir()
            (device / "driver").symlink_to(f"../../bus/drivers/{driver}")
        return self

    def network(self, name, state="up", master=""):
        self.write(f"sys/class/net/{name}/operstate", state)
        if master:
            (self.root / f"sys/class/net/{name}/master").symlink_to(f"../{master}")
        return self

    def find(self, limit=None, **environment):
        found = list(check_fabric(self.root, environment, lambda: limit))
        assert len({finding.topic for finding in found}) == len(found)
        return {finding.topic: finding for finding in found}


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path).network("lo", "unknown").network("eth0").network("docker0")


@pytest.fixture
def dgx(node):
    """Eight ports of 400 Gb/s, and a card of the storage network."""
    for number in range(8):
        node.rdma(f"mlx5_{number}")
    node.write("dev/infiniband/uverbs0").write("dev/nvidia0").write("sys/module/nvidia_peermem/x")
    return node


def levels(found):
    return {topic: finding.level for topic, finding in found.items()}


def test_a_node_without_a_fabric_is_fine(node):
    found = node.find()
    assert levels(found) == {"fabric": "ok", "networks": "ok"}
    assert found["networks"].text == "eth0"


def test_a_node_as_it_should_be(dgx):
    found = dgx.find()
    assert levels(found) == {"fabric": "ok", "ulimit -l": "ok", "networks": "ok"}
    assert "mlx5_7:1 InfiniBand 400 Gb/s" in found["fabric"].text


def test_a_slower_device_beside_fast_ones_asks_for_their_names(dgx):
    found = dgx.rdma("mlx5_8", "25 Gb/sec (1X EDR)", link="Ethernet").find()
    assert found["NCCL_IB_HCA"].level == "note"
    assert "mlx5_8 25 Gb/s" in found["NCCL_IB_HCA"].text
    names = ",".join(f"mlx5_{n}" for n in range(8))
    assert found["NCCL_IB_HCA"].mend == f"export NCCL_IB_HCA=={names}"
    assert "mlx5_8:1 RoCE" in found["fabric"].text
    assert dgx.find(NCCL_IB_HCA=f"={names}")["NCCL_IB_HCA"].level == "ok"


def test_a_port_that_is_down_is_named(dgx):
    found = dgx.rdma("mlx5_9", state="1: DOWN").find()
    assert found["fabric"].level == "note"
    assert found["fabric"].text.endswith("not active: mlx5_9:1")
    assert levels(found).get("NCCL_IB_HCA") is None


def test_all_ports_down_is_no_fabric(node):
    found = node.rdma("mlx5_0", state="2: INIT").find()
    assert found["fabric"].level == "note"
    assert "mlx5_0:1" in found["fabric"].text and "ulimit -l" not in found


def test_a_container_without_the_device_files(dgx):
    (dgx.root / "dev/infiniband/uverbs0").unlink()
    found = dgx.find()["rdma devices"]
    assert found.level == "note" and "MELLANOX_VISIBLE_DEVICES=all" in found.mend


@pytest.mark.parametrize(
    ("environment", "topic", "words"),
    [
        ({"NCCL_IB_HCA": "mlx4"}, "NCCL_IB_HCA", "no active device; there is mlx5_0:1"),
        ({"NCCL_IB_HCA": "^mlx5"}, "NCCL_IB_HCA", "no active device"),
        ({"NCCL_SOCKET_IFNAME": "bond0"}, "NCCL_SOCKET_IFNAME", "there is docker0, eth0, lo"),
        ({"GLOO_SOCKET_IFNAME": "eth"}, "GLOO_SOCKET_IFNAME", "there is docker0, eth0, lo"),
        ({"FI_PROVIDER": "efa"}, "FI_PROVIDER", "no device of this machine"),
    ],
)
def test_a_variable_that_names_nothing_here_is_a_problem(dgx, environment, topic, words):
    found = dgx.find(**environment)[topic]
    assert found.level == "problem" and words in found.text and found.mend


def test_an_hca_where_there_is_none_is_a_problem(node):
    assert node.find(NCCL_IB_HCA="mlx5")["NCCL_IB_HCA"].level == "problem"


def test_infiniband_that_is_turned_off_is_told(dgx):
    assert dgx.find(NCCL_IB_DISABLE="1")["NCCL_IB_DISABLE"].level == "note"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("mlx5", ["mlx5_1:1", "mlx5_10:1", "mlx5_10:2"]),
        ("mlx5_1", ["mlx5_1:1", "mlx5_10:1", "mlx5_10:2"]),
        ("=mlx5_1", ["mlx5_1:1"]),
        ("mlx5_10:2", ["mlx5_10:2"]),
        ("^=mlx5_1", ["mlx5_10:1", "mlx5_10:2"]),
        ("^mlx5_10:1,mlx5_10:2", ["mlx5_1:1"]),
        ("=mlx5_1:1,mlx5_10:1", ["mlx5_1:1", "mlx5_10:1"]),
    ],
)
def test_ports_are_named_as_nccl_names_them(value, named):
    """NCCL's manual: beginnings, whole names behind =, all but those behind ^."""
    every = [Port(d, n, "", 0, "") for d, n in (("mlx5_1", 1), ("mlx5_10", 1), ("mlx5_10", 2))]
    assert [f"{p.device}:{p.number}" for p in every if is_named(value, p)] == named


def test_several_networks_ask_for_a_choice(node):
    found = node.network("bond0").network("eth1", master="bond0").network("eth2", "down").find()
    assert found["networks"].level == "note"
    assert "bond0, eth0" in found["networks"].text
    chosen = {"NCCL_SOCKET_IFNAME": "bond", "GLOO_SOCKET_IFNAME": "bond0"}
    assert levels(node.find(**chosen)) == {"fabric": "ok", **dict.fromkeys(chosen, "ok")}
    found = node.find(NCCL_SOCKET_IFNAME="bond0")
    assert "GLOO_SOCKET_IFNAME not set" in found["networks"].text


@pytest.mark.parametrize("value", ["^docker,eth0", "^=eth0", "=bond0", "x,bond0", "lo"])
def test_interfaces_are_named_as_nccl_names_them(node, value):
    assert node.network("bond0").find(NCCL_SOCKET_IFNAME=value)["NCCL_SOCKET_IFNAME"].level == "ok"


def test_efa_wants_its_provider(node):
    for number in range(4):
        node.rdma(f"rdmap{number}s0", "100 Gb/sec", link="Unspecified", driver="efa")
    found = node.find()
    assert "rdmap0s0:1 EFA 100 Gb/s" in found["fabric"].text
    assert found["FI_PROVIDER"].level == "note"
    assert "export FI_PROVIDER=efa" in found["FI_PROVIDER"].mend
    assert "rdma devices" not in found and "NCCL_IB_HCA" not in found
    assert node.find(FI_PROVIDER="efa")["FI_PROVIDER"].level == "ok"


def test_slingshot_wants_its_provider(node):
    (node.root / "sys/class/cxi/cxi0").mkdir(parents=True)
    assert "export FI_PROVIDER=cxi" in node.find()["FI_PROVIDER"].mend


def test_a_limit_of_locked_memory_counts_where_there_is_rdma(dgx):
    found = dgx.find(limit=8 << 20)["ulimit -l"]
    assert found.level == "note" and "8,192 KiB" in found.text and "memlock" in found.mend


def test_gpus_whose_memory_network_cards_do_not_reach(dgx):
    (dgx.root / "sys/module/nvidia_peermem/x").unlink()
    (dgx.root / "sys/module/nvidia_peermem").rmdir()
    assert dgx.find()["GPUDirect"].level == "note"
    dgx.write("proc/driver/nvidia/version", "NVRM: NVIDIA UNIX Open Kernel Module for x86_64")
    assert "GPUDirect" not in dgx.find()


@pytest.mark.parametrize("spoil", ["text", "folder", "binary"])
def test_a_tree_that_is_not_as_expected_breaks_nothing(node, spoil):
    node.rdma("mlx5_0", rate="fast")
    if spoil == "text":
        node.write("sys/class/infiniband/mlx5_1", "a file")
    elif spoil == "folder":
        (node.root / "sys/class/infiniband/mlx5_1/ports/x/state").mkdir(parents=True)
    else:
        path = node.root / "sys/class/infiniband/mlx5_0/ports/1/rate"
        path.write_bytes(b"\xff\xfe\x00")
    assert "mlx5_0:1 InfiniBand 0 Gb/s" in node.find()["fabric"].text


def test_this_machine_is_read_as_it_is():
    found = {finding.topic: finding for finding in check_fabric()}
    assert "fabric" in found
    real = [
        name for name in os.listdir("/sys/class/net") if (Path("/sys/class/net") / name).exists()
    ]
    assert set(up_networks()) <= set(real)
    assert locked_memory_limit() is None or locked_memory_limit() >= 0
