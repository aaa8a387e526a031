"""A store for these tests, and the losses of this project's own trainer on it."""

import pytest

from tests.nemo.small import small_run
from tests.support.tiny import build_store


@pytest.fixture(scope="session")
def small_store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("nemo"))


@pytest.fixture(scope="session")
def own_losses(small_store, tmp_path_factory):
    """Loss of each step under geo-nemo train."""
    import torch

    from geo_nemo.integrations.job import load_run
    from geo_nemo.runtime.distributed import process_groups
    from tests.support.runs import Events, trainer

    run = load_run(small_run(small_store, tmp_path_factory.mktemp("own")))
    events = Events()
    with process_groups(run.parallel, torch.device("cpu"), run.seed):
        assert trainer(run, [events]).fit()
    return [event.report.loss for event in events.seen]
