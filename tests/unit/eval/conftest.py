"""A store of 60 documents and two runs, shared by the tests of this folder."""

from types import SimpleNamespace

import pytest

from eval.config import EvalConfig
from tests.unit.eval.fakes import BigramScorer, make_run, make_store, texts


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("world")
    documents = texts(60)
    store = make_store(folder / "data", documents)
    runs = {
        "with": make_run(folder / "with", store, fields=("url", "country", "continent")),
        "without": make_run(folder / "without", store, fields=()),
    }
    return SimpleNamespace(folder=folder, documents=documents, store=store, runs=runs)


@pytest.fixture
def config(world, tmp_path) -> EvalConfig:
    return EvalConfig(
        runs={name: str(folder) for name, folder in world.runs.items()},
        store=str(world.store.root),
        output=str(tmp_path / "out"),
        bootstrap_samples=200,
    )


def load(model) -> BigramScorer:
    """The run named `with` uses what it is told; `without` never does."""
    return BigramScorer(conditioned=model.folder.name == "with")


@pytest.fixture
def loader():
    return load
