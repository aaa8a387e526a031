"""Real data: the World Factbook, one edition and six of them. Skipped where it is absent."""

from pathlib import Path

import pytest

from data_prep.card import CardData
from data_prep.config import Prep
from data_prep.graph import run_prep
from geo_nemo.metadata.geography import CONTINENTS, countries
from geo_nemo.store import TokenStore

DATA = Path(__file__).resolve().parents[4] / "shared/data"
pytestmark = pytest.mark.skipif(
    not (DATA / "factbook.jsonl.gz").exists(), reason="no shared data here"
)


def prepare(name, output, **changes):
    """The card and the store of a preparation of shared/data/<name>."""
    settings = {"tokenizer": {"vocab_size": 2000}, "execution": {"workers": 1}, **changes}
    config = Prep.model_validate({"input": str(DATA / name), "output": str(output), **settings})
    run_prep(config)
    card = CardData.model_validate_json((output / "report.json").read_bytes())
    return card, TokenStore.open(output / "store")


def dropped(card):
    return {name: n for step in card.steps for name, n in step.dropped.items()}


@pytest.fixture(scope="module")
def factbook(tmp_path_factory):
    return prepare("factbook.jsonl.gz", tmp_path_factory.mktemp("factbook") / "out")


def test_every_record_is_accounted_for(factbook):
    # The Gaza Strip and the West Bank are both `ps`, and share their ids. Chapters on terrorism
    # that name the same groups have the same text in several countries.
    card, _ = factbook
    assert (card.found, card.documents) == (2505, 2466)
    assert dropped(card) == {"duplicate_id": 10, "duplicate_content": 29}
    for split in card.splits.values():
        assert split.evidence == {"field": split.documents}


def test_every_country_is_there_and_has_test_documents(factbook):
    card, _ = factbook
    assert len(card.continents) == 237
    assert set(card.continents.values()) == set(CONTINENTS)
    for split in ("train", "test"):
        assert len(card.splits[split].countries) == 237
    assert card.continents.keys() <= countries().keys()


def test_border_countries_have_the_tables_continent(factbook):
    card, _ = factbook
    assert card.continents["ru"] == "Europe"
    assert card.continents["cy"] == card.continents["tr"] == "Asia"


def test_the_store_verifies_and_reads_back(factbook):
    _, store = factbook
    assert store.verify() > 2_000_000
    assert store.hosts == ["www.cia.gov"]
    split = store.split("train")
    record = split.record(0)
    assert record.path.startswith("/the-world-factbook/countries/")
    assert "#" not in record.path
    body = store.tokenizer().decode(split.body(0))
    assert len(body) > 200 and "\ufffd" not in body


def test_six_yearly_editions_are_found_to_repeat_each_other(tmp_path):
    """A chapter of one country in six years is one cluster, whole in one split."""
    card, store = prepare(
        "factbook_history.jsonl.gz", tmp_path / "out", dedup={"near": {"action": "keep"}}
    )
    assert card.found == 15_497
    assert card.clusters.documents_in_clusters > 8000
    split_of: dict[int, set[str]] = {}
    for name in ("train", "validation", "test"):
        for cluster in store.split(name).cluster.tolist():
            split_of.setdefault(cluster, set()).add(name)
    assert all(len(splits) == 1 for splits in split_of.values())
    assert len(split_of) < 10_500
