"""Two ranks begin from another run's weights, or a Hugging Face folder, as one process does."""

import numpy as np
import pytest
import torch
from safetensors import safe_open

from geo_nemo.export.hugging_face import export
from geo_nemo.export.source import find_source
from tests.dist.initial_worker import LAYOUTS
from tests.dist.launch import launch
from tests.support.hugging_face import random_weights, write_folder
from tests.support.runs import finished, trainer, weights
from tests.support.tiny import VOCAB_SIZE, tiny_run

pytestmark = pytest.mark.very_slow


@pytest.fixture(scope="module")
def sources(tiny_store, tmp_path_factory, single_process):
    from geo_nemo.store import TokenStore

    folder = tmp_path_factory.mktemp("sources")
    finished(tiny_store, folder / "ours")
    model, file = tiny_run("s", "o").model, TokenStore.open(tiny_store).manifest.tokenizer.file
    given = random_weights(model, VOCAB_SIZE)
    write_folder(folder / "llama", model, given, VOCAB_SIZE, tiny_store / file)
    return {name: folder / name for name in ("ours", "llama")}


@pytest.fixture(scope="module")
def output(sources, tiny_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_ranks")
    given = [f"{name}={path}" for name, path in sources.items()]
    launch(2, "tests.dist.initial_worker", tiny_store, folder, *given)
    return folder


def begun(store, folder, checkpoint):
    made = trainer(tiny_run(store, folder, init={"checkpoint": str(checkpoint)}))
    made.resume()
    return weights(made)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["ours", "llama"])
def test_two_ranks_hold_the_weights_that_one_process_reads(
    name, layout, sources, output, tiny_store, tmp_path
):
    expected = begun(tiny_store, tmp_path / "one", sources[name])
    found = begun(tiny_store, tmp_path / "two", output / f"{name}_{layout}")
    assert all(torch.equal(found[key], weight) for key, weight in expected.items())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_two_ranks_saved_is_exported_as_the_very_numbers_that_they_read(
    layout, output, tmp_path
):
    source = find_source(str(output / f"llama_{layout}"), None, tmp_path)
    export(source, tmp_path / "out", "fp32")
    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    given = random_weights(tiny_run("s", "o").model, VOCAB_SIZE)
    assert found.keys() == given.keys()
    assert all(np.array_equal(found[name], given[name]) for name in given)
