"""Small tasks go to workers too, where these tests can see them fail and be killed."""

import pytest

from data_prep.engine import local


@pytest.fixture(autouse=True)
def no_task_is_small(monkeypatch):
    monkeypatch.setattr(local, "SMALL_BYTES", 0)
