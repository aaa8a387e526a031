"""Related documents behind each other: each once an epoch, and together in a sequence."""

import numpy as np
import pytest

from geo_nemo.config import Data, MetadataPolicy, Sampling, UserError
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.draws import EpochDraws
from geo_nemo.data.related import RelatedDraws
from tests.support.tiny import NO_METADATA, tiny_run
from tests.unit.data.fakes import Document, MemorySplit, WordTokenizer, draws_of

HOSTS = 40
DOCUMENTS = [
    Document([1, 2], [3] * (20 + n % 7), host=f"h{n % HOSTS}.com", country=("gb", "no")[n % 2])
    for n in range(1000)
]
SPLIT = MemorySplit(DOCUMENTS)


def draws(size=256, **sampling) -> RelatedDraws:
    return draws_of(SPLIT, np.arange(1000), Sampling(**sampling), 7, size, 10**6, "s")


@pytest.mark.parametrize("size", [10, 100, 256, 5000])
def test_each_document_comes_once_an_epoch_and_epochs_differ(size):
    found = draws(size, related="host")
    epochs = []
    for epoch in range(2):
        windows = range(epoch * found.windows_per_epoch, (epoch + 1) * found.windows_per_epoch)
        drawn = [found.window(number) for number in windows]
        assert all((each.epochs == epoch).all() for each in drawn)
        epochs.append(np.concatenate([each.documents for each in drawn]))
    assert [sorted(each.tolist()) for each in epochs] == [list(range(1000))] * 2
    assert not np.array_equal(*epochs)


def neighbours_of_one_host(found) -> float:
    documents = found.window(0).documents
    hosts = SPLIT.host[documents]
    return float(np.mean(hosts[1:] == hosts[:-1]))


def test_neighbours_are_related():
    # Of 25 documents a host: a run of 32 has one or two borders; at random it is one in 40.
    assert neighbours_of_one_host(draws(related="host")) > 0.9
    assert neighbours_of_one_host(EpochDraws(np.arange(1000), 7, 256)) < 0.06


def test_by_a_field():
    countries = SPLIT.country[draws(related="country").window(0).documents]
    assert np.mean(countries[1:] == countries[:-1]) > 0.9


def test_a_sequence_holds_documents_of_few_hosts():
    data = Data(store="s", seq_length=256, packing="concat", packing_window=256)
    hosts = {}
    for name, found in {"related": draws(related="host"),
                        "as they are": EpochDraws(np.arange(1000), 7, 256)}.items():  # fmt: skip
        dataset = StageDataset(SPLIT, data, NO_METADATA, WordTokenizer(), found, seed=1)
        hosts[name] = np.mean(
            [len({f.host for f in dataset.fragments(i)}) for i in range(len(dataset))]
        )
    assert hosts["related"] < 2.5 < 6 < hosts["as they are"]


def test_clusters_of_a_store(tiny_store):
    from geo_nemo.store import TokenStore

    split = TokenStore.open(tiny_store).split("train")
    count = split.num_documents
    found = draws_of(split, np.arange(count), Sampling(related="cluster"), 7, 64, 10**6, "s")
    assert np.array_equal(np.sort(found.documents), np.arange(count))
    assert (np.diff(split.cluster[found.documents].astype(object)) >= 0).all()


@pytest.mark.parametrize("packing", ["best_fit", "by_length"])
def test_a_packing_that_parts_them_is_one_line(packing, tmp_path):
    stage = {"fraction": 1, "metadata": MetadataPolicy(), "sampling": {"related": "host"}}
    data = Data(store="s", seq_length=128, packing=packing)
    with pytest.raises(ValueError, match=f"data.packing={packing} would part them again"):
        tiny_run("s", tmp_path, stages={"one": stage}, data=data)


def test_two_rules_and_a_field_that_is_not_there_are_one_line():
    with pytest.raises(ValueError, match="temperature and related exclude each other"):
        Sampling(related="host", temperature=2)
    with pytest.raises(UserError, match=r"stages.s.sampling.related"):
        draws(related="topic")
