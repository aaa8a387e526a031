"""A small export and instructions for tunings with the real TRL and PEFT."""

import pytest

from tests.support.exports import alpaca, write_export, write_jsonl


@pytest.fixture(scope="session")
def base(tiny_store, tmp_path_factory):
    return write_export(tmp_path_factory.mktemp("base") / "model", tiny_store)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_jsonl(tmp_path_factory.mktemp("data") / "d.jsonl", alpaca(48))
