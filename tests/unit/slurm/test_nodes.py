"""Faulty nodes on pretended ones: named, left out or drained; and a check that is at fault."""

import pytest

from tests.unit.slurm.fake_cluster import Cluster, stub

DRAIN = {"GEO_NEMO_DRAIN": "1"}
H100 = """
case "$1" in
  -L) for i in 0 1; do echo "GPU $i: NVIDIA H100 80GB HBM3 (UUID: GPU-$i)"; done ;;
  *ecc*) printf '0, 0\\n1, %s\\n' "${ECC:-0}" ;;
  *remapped*) printf '0, No, No\\n1, No, No\\n' ;;
  *clocks_event*) printf '0, Not Active, Not Active\\n1, Not Active, Not Active\\n' ;;
  *memory.used*) printf '0, 4\\n1, 4\\n' ;;
  *) exit 2 ;;
esac"""


def test_a_node_with_ecc_errors_is_drained_and_the_job_requeued(tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"), tasks=2)
    cluster.everywhere("nvidia-smi", H100)
    cluster.on_node("n2", "nvidia-smi", f"ECC=3\n{H100}")
    output = tmp_path / "run"
    code, log = cluster.run(
        f"output_dir={output}",
        **stub(cluster, "exit 0") | {**DRAIN, "GEO_NEMO_CHECKS": "node", "GEO_NEMO_GPUS": "2"},
    )
    assert code == 75, log
    reason = "geo-nemo: GPU 1 has 3 ECC errors that were not corrected"
    assert ["update", "NodeName=n2", "State=DRAIN", f"Reason={reason}"] in cluster.calls("scontrol")
    assert not any("NodeName=n1" in call for call in cluster.calls("scontrol"))
    assert cluster.requeues() == ["requeue"]
    assert not (output / "slurm/42/0/rank_00000.exit").exists()


def test_where_the_user_may_not_drain_the_job_is_requeued_without_the_node(tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"))
    cluster.everywhere("nvidia-smi", H100)
    cluster.on_node("n1", "nvidia-smi", "echo 'Unable to determine the device handle' >&2; exit 9")
    cluster.deny("update", "State=DRAIN")
    code, log = cluster.run(
        f"output_dir={tmp_path / 'run'}",
        **stub(cluster, "exit 0") | {**DRAIN, "GEO_NEMO_CHECKS": "node", "GEO_NEMO_GPUS": "2"},
    )
    assert code == 75
    assert "leaves out node n1: nvidia-smi fails: Unable to determine the device handle" in log
    changes = [call for call in cluster.calls("scontrol") if call[0] != "show"]
    assert changes[1:] == [
        ["requeuehold", "42"],
        ["update", "JobId=42", "ExcNodeList=n1"],
        ["release", "42"],
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "nvidia-smi",
            f'[ "$1" = -L ] && {{ echo "GPU 0: H100"; exit; }}\n{H100}',
            "1 GPUs, not 2",
        ),
        ("nvidia-smi", H100.replace("1, No, No", "1, No, Yes"), "GPU 1 could not remap a row"),
        ("nvidia-smi", H100.replace("0, No, No", "0, Yes, No"), "GPU 0 must be reset"),
        (
            "nvidia-smi",
            H100.replace("1, Not Active, Not Active", "1, Active, Not Active"),
            "GPU 1 is slowed down by heat",
        ),
        ("dcgmi", "echo '| PCIe  | Fail - All |'; exit 205", "dcgmi diag -r 1: PCIe Fail"),
        ("date", '[ "$1" = +%s ] && exec echo 1000000000; exec /bin/date "$@"', "has another time"),
    ],
)
def test_each_fault_of_a_node_is_named(tmp_path, name, text, reason):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"))
    cluster.everywhere("nvidia-smi", H100)
    cluster.on_node("n2", name, text)
    code, log = cluster.run(
        f"output_dir={tmp_path / 'run'}",
        **stub(cluster, "exit 0") | {**DRAIN, "GEO_NEMO_CHECKS": "node", "GEO_NEMO_GPUS": "2"},
    )
    assert code == 75
    assert f"drained node n2: {reason}" in log
    assert "drained node n1" not in log


def test_a_node_that_does_not_answer_is_drained(tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"))
    (cluster.folder / "silent").write_text("n2")
    code, log = cluster.run(
        f"output_dir={tmp_path / 'run'}",
        **stub(cluster, "exit 0") | {**DRAIN, "GEO_NEMO_CHECKS": "node"},
    )
    assert code == 75
    assert "drained node n2: did not answer" in log


@pytest.mark.parametrize(
    ("listed", "left_out"), [("", None), ("n1 idle\nn2 down*\nn3 idle\nn4 idle\n", "n2")]
)
def test_of_several_nodes_without_a_word_those_are_at_fault_that_slurm_does_not_reach(
    tmp_path, listed, left_out
):
    # One node on which a step cannot start ends it on the others.
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2", "n3"))
    (cluster.folder / "silent").write_text("n1 n2 n3")
    (cluster.folder / "sinfo").write_text(listed)
    code, log = cluster.run(
        f"output_dir={tmp_path / 'run'}", **stub(cluster, "exit 0") | {"GEO_NEMO_CHECKS": "node"}
    )
    assert code == 75, log
    changes = [call for call in cluster.calls("scontrol") if call[0] == "update"]
    if left_out is None:
        assert "only 0 of 3 nodes answered (srun: 0); requeues" in log and not changes
    else:
        assert changes == [["update", "JobId=42", f"ExcNodeList={left_out}"]]
        assert "leaves out node n2: did not answer, neither to SLURM" in log


@pytest.mark.parametrize("which", ["store", "image"])
def test_a_node_without_a_mount_is_left_out(tmp_path, which):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2", "n3"))
    (cluster.folder / "sinfo").write_text("".join(f"n{i} idle\n" for i in range(1, 6)))
    lost = tmp_path / which
    lost.mkdir()
    (lost / "manifest.json").touch()
    lacks = f'case "$*" in *"{lost}"*) exit 1 ;; esac\nexec /usr/bin/stat "$@"'
    cluster.on_node("n2", "stat", lacks)
    environment = stub(cluster, "exit 0") | {"GEO_NEMO_CHECKS": "node"}
    store = f"data.store={tmp_path / 'store'}"
    if which == "image":
        environment["GEO_NEMO_CONTAINER"] = str(lost)
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", store, **environment)
    assert code == 75, log
    assert f"leaves out node n2: does not see {lost}" in log
    assert "node n1" not in log and "node n3" not in log


def test_a_store_that_no_node_sees_is_no_fault_of_theirs(tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"))
    environment = stub(cluster, "exit 0") | {"GEO_NEMO_CHECKS": "node"}
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", "data.store=/none", **environment)
    assert code == 0, log


def test_a_node_whose_check_hangs_is_left_out(tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"))
    cluster.on_node("n2", "df", "exec sleep 60")
    environment = stub(cluster, "exit 0") | {"GEO_NEMO_CHECKS": "node"}
    code, log = cluster.run(
        f"output_dir={tmp_path / 'run'}", GEO_NEMO_CHECK_SECONDS="4", **environment
    )
    assert code == 75
    assert "leaves out node n2: did not answer" in log and "node n1" not in log


def test_a_clock_that_differs_from_most_is_the_one_at_fault(tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2", "n3"))
    for node in ("n2", "n3"):
        cluster.on_node(node, "date", '[ "$1" = +%s ] && exec echo 9999999999; exec /bin/date "$@"')
    environment = stub(cluster, "exit 0") | {"GEO_NEMO_CHECKS": "node", "SLURMD_NODENAME": "n1"}
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **environment)
    assert code == 75
    assert "leaves out node n1: has another time than 2 nodes" in log
    assert "node n2" not in log and "node n3" not in log


def test_where_every_node_is_faulty_none_is_drained(tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2", "n3"))
    cluster.everywhere("nvidia-smi", H100)
    code, log = cluster.run(
        f"output_dir={tmp_path / 'run'}",
        **stub(cluster, "exit 0") | {**DRAIN, "GEO_NEMO_CHECKS": "node", "GEO_NEMO_GPUS": "8"},
    )
    assert code == 1
    assert "every node is found faulty, n1 2 GPUs, not 8: none is left out" in log
    assert not any("State=DRAIN" in call for call in cluster.calls("scontrol"))
    assert cluster.requeues() == []


def test_a_node_whose_all_reduce_is_slow_is_drained(tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"), tasks=2)
    text = """[ "$1" = allreduce ] || exit 0
    while [ "$1" != --output ]; do shift; done
    [ "$SLURM_PROCID" = 0 ] && echo n2 > "$2.slow"
    until [ -s "$2.slow" ]; do sleep 0.05; done  # as ranks wait for the first one's file
    exit 1"""
    code, log = cluster.run(
        f"output_dir={tmp_path / 'run'}",
        **stub(cluster, text)
        | {**DRAIN, "GEO_NEMO_CHECKS": "allreduce", "GEO_NEMO_MIN_BUSBW": "300"},
    )
    assert code == 75
    assert "drained node n2: all-reduce is slow" in log
    assert any("--min-busbw" in call and "300" in call for call in cluster.calls("srun"))


def faulty(tmp_path, restart=0, node="n1", **environment):
    """A start on a node that has no nvidia-smi and no GPU; code and log."""
    cluster = Cluster(tmp_path / f"cluster-{node}", nodes=(node,))
    (cluster.folder / "sinfo").write_text("".join(f"n{i} idle\n" for i in range(1, 9)))
    environment = stub(cluster, "exit 0") | {
        "GEO_NEMO_CHECKS": "node", "GEO_NEMO_GPUS": "2", "GEO_NEMO_DEV": str(tmp_path),
        "GEO_NEMO_RESTARTS": "10", **environment,
    }  # fmt: skip
    return cluster, *cluster.run(f"output_dir={tmp_path / 'run'}", restart=restart, **environment)


def test_by_default_no_node_is_drained(tmp_path):
    cluster, code, log = faulty(tmp_path)
    assert code == 75
    assert "leaves out node n1: no nvidia-smi, and 0 GPUs in /dev, not 2" in log
    assert not any("State=DRAIN" in call for call in cluster.calls("scontrol"))


@pytest.mark.parametrize("drain", ["0", "1"])
def test_the_third_node_with_one_fault_tells_that_the_check_is_wrong(tmp_path, drain):
    for restart, node in enumerate(("n1", "n2")):
        _, code, log = faulty(tmp_path, restart, node, GEO_NEMO_DRAIN=drain)
        assert code == 75, log
    cluster, code, log = faulty(tmp_path, 2, "n3", GEO_NEMO_DRAIN=drain)
    assert code == 1
    assert "3 nodes are found faulty for one reason (no nvidia-smi, and 0 GPUs in /dev" in log
    assert cluster.requeues() == []
    assert not any("NodeName=n3" in call for call in cluster.calls("scontrol"))


def test_nodes_with_faults_of_their_own_are_no_fault_of_the_check(tmp_path):
    for restart, node in enumerate(("n1", "n2", "n3", "n4")):
        cluster = Cluster(tmp_path / f"cluster-{node}", nodes=(node,))
        cluster.everywhere("nvidia-smi", f"echo 'a fault named {chr(97 + restart)}'; exit 9")
        environment = stub(cluster, "exit 0") | {"GEO_NEMO_CHECKS": "node", "GEO_NEMO_GPUS": "2"}
        code, log = cluster.run(
            f"output_dir={tmp_path / 'run'}", restart=restart, GEO_NEMO_RESTARTS="10", **environment
        )
        assert code == 75, log


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        ("n1 idle\n", 0),
        ("n1 idle\nn2 drained\nn3 draining*\nn4 fail\n", 0),
        ("n1 idle\nn2 allocated\n", 1),
        ("n1 idle\nn2 down*\n", 1),  # it may come back
    ],
)
def test_a_job_for_which_too_few_nodes_are_left_says_so_and_stops(tmp_path, listed, left):
    cluster = Cluster(tmp_path / "cluster")
    (cluster.folder / "sinfo").write_text(listed)
    environment = {"GEO_NEMO_CHECKS": "node", "GEO_NEMO_GPUS": "2", "GEO_NEMO_DEV": str(tmp_path)}
    code, log = cluster.run(
        f"output_dir={tmp_path / 'run'}", SLURM_JOB_PARTITION="gpu",
        **stub(cluster, "exit 0") | environment,
    )  # fmt: skip
    assert code == (75 if left else 1), log
    told = f"cannot be placed any more: without the faulty nodes partition gpu has {left}"
    assert (told in log) == (not left)


def test_without_nvidia_smi_gpus_are_counted_by_their_devices(tmp_path):
    for number in range(2):
        (tmp_path / f"nvidia{number}").touch()
    (tmp_path / "nvidiactl").touch()
    _, code, log = faulty(tmp_path)
    assert code == 0, log
    assert "note, 1 nodes: no nvidia-smi: GPUs are counted, and not looked at" in log
