"""One real SLURM for all tests of this folder."""

import os
import shutil

import pytest

from tests.slurm.real import Slurm, missing


def pytest_collection_modifyitems(items):
    why = missing()
    if not os.environ.get("GEO_NEMO_REAL_SLURM"):
        why = "GEO_NEMO_REAL_SLURM is not set: make test-slurm"
    for item in items:
        if why and "tests/slurm/" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def slurm():
    with Slurm() as started:
        yield started


@pytest.fixture(scope="session")
def shared_store(slurm, tiny_store):
    """A small store that every user of the cluster can read."""
    place = slurm.folder / "store"
    shutil.copytree(tiny_store, place)
    for path in (place, *place.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return place
