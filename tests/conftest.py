"""Fixtures that several folders of tests share."""

import gc
import os
from pathlib import Path

# Two cores serve several processes in some tests; numbers must not depend on how many there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from geo_nemo.common.imports import quick_imports
from tests.support.tiny import build_store

# Tests assert results, never times: on a busy machine a deadline fails what is right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


FIRST = ("e2e", "dist", "slurm")  # of the folders of tests, those with the longest ones


def _folder(item):
    return item.path.relative_to(Path(__file__).parent).parts[0]


def pytest_make_parametrize_id(config, val, argname):
    """Bytes go by their argument: compressed ones hold the time, and so neither they nor their

    number is the same twice, where names must be (two processes share the tests by them).
    """
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items):
    """Whole runs go first, so that none is left alone at the end of two processes' tests.

    Those that take minutes are for `make test-slow`: CI has to end in time on two cores.
    """
    items.sort(key=lambda item: FIRST.index(folder) if (folder := _folder(item)) in FIRST else 9)
    if os.environ.get("GEO_NEMO_SLOW_TESTS") == "1":
        return
    for item in items:
        if item.get_closest_marker("very_slow"):
            item.add_marker(pytest.mark.skip(reason="for make test-slow"))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Modules and tests are there to the end: garbage is not looked for among them."""
    with quick_imports():
        collected = yield
    gc.freeze()
    return collected


@pytest.fixture(autouse=True)
def nothing_is_given_up(monkeypatch):
    """What another test left at work would end this process at once, where a command ends in it."""
    monkeypatch.setattr("geo_nemo.common.stuck._at_work", [])


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory):
    """Path of a small store of synthetic news."""
    return build_store(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def single_process():
    """Megatron-Core's process groups of one CPU process, for the whole session."""
    import torch

    from geo_nemo.config import Parallel
    from geo_nemo.runtime.distributed import process_groups

    with process_groups(Parallel(), torch.device("cpu"), seed=0):
        yield


@pytest.fixture(scope="session")
def s3_server():
    """The address of a server of `s3://` on this machine."""
    pytest.importorskip("moto")
    pytest.importorskip("flask_cors")
    from tests.support.buckets import serving

    with serving() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """An empty bucket of that server, which the environment leads to."""
    from tests.support.buckets import new_bucket

    with new_bucket(s3_server, "news", monkeypatch) as made:
        yield made
