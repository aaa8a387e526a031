"""`geo-nemo launch` in this process, on a pretended cluster."""

import sys

import pytest

from geo_nemo.cli import main as cli
from tests.unit.slurm.fake_cluster import Cluster


@pytest.fixture
def launch(tmp_path, monkeypatch, capsys):
    """Calls geo-nemo launch; /runs stands for a folder of the test's, in what is given and said."""
    cluster = Cluster(tmp_path / "cluster")
    for key, value in cluster.environment().items():
        if key in ("PATH", "FAKE_CLUSTER"):
            monkeypatch.setenv(key, value)
    monkeypatch.delenv("GEO_NEMO_RECIPES", raising=False)
    # The test's folder is in /tmp, which no two nodes share.
    monkeypatch.setattr("geo_nemo.launch.checks.OF_ONE_NODE", ("/dev/shm", "/run"))
    runs = tmp_path / "runs"

    def call(*arguments: str) -> tuple[int, str, str]:
        given = [argument.replace("/runs", str(runs)) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["geo-nemo", "launch", *given])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = (text.replace(str(runs), "/runs") for text in capsys.readouterr())
        return stopped.value.code, out, err

    call.cluster = cluster
    call.runs = runs
    return call
