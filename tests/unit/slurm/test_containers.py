"""How a job gets into a container, and onto the cores beside its GPUs: calls, on pretended nodes.

pyxis, Apptainer and GPUs are not here; what is asserted are the command lines.
"""

import pytest

from tests.unit.slurm.fake_cluster import ROOT, Cluster, stub


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path / "cluster")


def test_pyxis_starts_the_container_with_every_folder_that_the_run_needs(cluster, tmp_path):
    image = tmp_path / "image.sqsh"
    image.touch()
    output = tmp_path / "run"
    environment = {"GEO_NEMO_CONTAINER": str(image), "GEO_NEMO_MOUNTS": "/data,/scratch:/tmp"}
    assert cluster.run(f"output_dir={output}", **stub(cluster, ""), **environment)[0] == 0
    assert cluster.calls("srun")[0] == ["--help"]
    call = cluster.calls("srun")[-1]
    slurm = ROOT / "slurm"
    assert f"--container-image={image}" in call
    mounts = f"{output}:{output},{slurm}:{slurm},/data:/data,/scratch:/tmp"
    assert f"--container-mounts={mounts}" in call
    # One import a node: each later step finds the container by its name.
    assert "--container-name=geo_nemo_42" in call and "--no-container-mount-home" in call
    assert call[call.index(f"{output}/slurm/42/0") + 1 :][:2] == ["bash", f"{slurm}/enter.sh"]


@pytest.mark.parametrize("name", ["image.sqsh", "image.sif"])
def test_a_run_of_a_sweep_has_a_comma_in_its_name_and_its_container_sees_it(
    cluster, tmp_path, name
):
    image, told = tmp_path / name, tmp_path / "told"
    image.touch()
    cluster.everywhere("apptainer", f'echo "$@" >{told}')
    output = tmp_path / "sweep/train.lr=0.001,seed=1"
    environment = stub(cluster, "") | {"GEO_NEMO_CONTAINER": str(image)}
    code, log = cluster.run(f"output_dir='{output}'", **environment)
    assert code == 0, log
    call = " ".join(cluster.calls("srun")[-1])
    one = f"{tmp_path}/sweep" + f":{tmp_path}/sweep" * name.endswith("sqsh")
    assert f"--container-mounts={one}," in call or f"--bind {one}," in call


def test_without_pyxis_the_job_says_so_in_one_line(cluster, tmp_path):
    image = tmp_path / "image.sqsh"
    image.touch()
    (cluster.folder / "no_pyxis").touch()
    environment = stub(cluster, "") | {"GEO_NEMO_CONTAINER": str(image)}
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **environment)
    assert code == 2 and log.count("\n") == 1
    assert "no pyxis here: srun knows no --container-image; take slurm.runtime=apptainer" in log


def test_in_a_container_home_and_caches_can_be_written(cluster, tmp_path):
    image = tmp_path / "image.sqsh"
    image.touch()
    seen, scratch = tmp_path / "seen", tmp_path / "scratch"
    text = f'printf "%s\\n" "$HOME" "$TRITON_CACHE_DIR" "$TORCHINDUCTOR_CACHE_DIR" >{seen}'
    environment = stub(cluster, text) | {
        "GEO_NEMO_CONTAINER": str(image), "GEO_NEMO_SCRATCH": str(scratch), "HOME": "/nonexistent",
    }  # fmt: skip
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", **environment)
    assert code == 0, log
    home, *caches = seen.read_text().split()
    assert home == f"{scratch}/home" and (scratch / "home").is_dir()
    assert caches == [f"{scratch}/triton", f"{scratch}/inductor"]
    environment["GEO_NEMO_SCRATCH"] = "/proc/none"
    code, log = cluster.run(f"output_dir={tmp_path / 'run'}", restart=1, **environment)
    assert code == 2 and "cannot write in /proc/none in the container: set GEO_NEMO_SCRATCH" in log


def test_a_process_is_bound_to_the_node_of_memory_beside_its_gpu(tmp_path):
    cluster = Cluster(tmp_path / "cluster", tasks=2)
    cluster.everywhere("nvidia-smi", "printf '00000000:3B:00.0\\n00000000:AF:00.0\\n'")
    cluster.everywhere(
        "numactl", f'[ "$3" = true ] || echo "$@" >>{tmp_path}/bound; shift 2; exec "$@"'
    )
    for bus, node in (("0000:3b:00.0", "0\n"), ("0000:af:00.0", "1\n")):
        place = tmp_path / "sys/bus/pci/devices" / bus
        place.mkdir(parents=True)
        (place / "numa_node").write_text(node)
    environment = stub(cluster, "exit 0") | {
        "GEO_NEMO_GPUS": "2",
        "GEO_NEMO_SYS": f"{tmp_path}/sys",
    }
    settings = f"output_dir={tmp_path / 'run'}"
    code, log = cluster.run(settings, GEO_NEMO_NUMA="0", **environment)
    assert code == 0 and not (tmp_path / "bound").exists(), log
    code, log = cluster.run(settings, **environment)
    assert code == 0, log
    bound = sorted(line.split()[:2] for line in (tmp_path / "bound").read_text().splitlines())
    assert bound == [[f"--cpunodebind={node}", f"--preferred={node}"] for node in (0, 1)]
    # Cores that the job has not, and no numactl: the process runs unbound.
    cluster.everywhere("numactl", "exit 1")
    code, log = cluster.run(settings, **environment)
    assert code == 0, log


def test_apptainer_starts_the_container_inside_each_task(cluster, tmp_path):
    image = tmp_path / "image.sif"
    image.touch()
    told = tmp_path / "told"
    # Everything up to the image is apptainer's own.
    cluster.everywhere(
        "apptainer",
        f'echo "$@" >{told}\nwhile [ "$1" != "{image}" ]; do shift; done\nshift\nexec "$@"',
    )
    output = tmp_path / "run"
    environment = {"GEO_NEMO_CONTAINER": str(image), "GEO_NEMO_GPUS": "2"}
    code, log = cluster.run(f"output_dir={output}", **stub(cluster, "exit 75") | environment)
    assert code == 75 and cluster.requeues() == ["requeue"], log
    assert told.read_text().startswith(
        f"exec --nv --no-home --bind {output},{ROOT / 'slurm'} {image} bash "
        f"{ROOT / 'slurm'}/enter.sh {cluster.folder}/stub train "
    )
