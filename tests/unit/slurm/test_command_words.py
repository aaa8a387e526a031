"""GEO_NEMO_COMMAND on pretended nodes: read as a shell reads it, and never run by one."""

import shlex

import pytest

from tests.unit.slurm.fake_cluster import Cluster


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path / "cluster")


def test_a_command_may_stand_in_a_folder_with_a_space(cluster, tmp_path):
    folder = cluster.folder / "my tools"
    folder.mkdir()
    path = cluster.command(folder / "stub", '#!/bin/bash\nprintf "<%s>" "$@" >"$0.words"\n')
    command = f"{shlex.quote(str(path))} --one 'two words'"
    cluster.run(
        f"output_dir={tmp_path}/run", GEO_NEMO_COMMAND=command, GEO_NEMO_CHECKS="",
        GEO_NEMO_MIN_FREE_GB="0",
    )  # fmt: skip
    assert (folder / "stub.words").read_text().startswith("<--one><two words><train>")


def test_a_quotation_mark_that_is_not_closed_is_refused(cluster, tmp_path):
    code, log = cluster.run(f"output_dir={tmp_path}/run", GEO_NEMO_COMMAND="'/a b/geo-nemo")
    assert code == 2
    assert "GEO_NEMO_COMMAND='/a b/geo-nemo: a quotation mark is not closed" in log
    assert cluster.requeues() == []
