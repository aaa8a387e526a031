"""Real data: the World Factbook, whole. Skipped where it is not beside the checkout."""

from pathlib import Path

import pytest

from data_prep.narrow_config import Prep
from data_prep.prepare import prepare
from geo_nemo.metadata.geography import CONTINENTS, countries
from geo_nemo.store import TokenStore

FACTBOOK = Path(__file__).resolve().parents[4] / "shared/data/factbook.jsonl.gz"
pytestmark = pytest.mark.skipif(not FACTBOOK.exists(), reason="no shared data here")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    output = tmp_path_factory.mktemp("factbook")
    return prepare(Prep(input=str(FACTBOOK), output=str(output), tokenizer={"vocab_size": 2000}))


def test_every_record_is_accounted_for(report):
    # The Gaza Strip and the West Bank are both `ps`, and share their ids. Chapters on terrorism
    # that name the same groups have the same text in several countries.
    assert (report.read, report.kept) == (2505, 2466)
    assert report.quarantine == {"duplicate_id": 10, "duplicate_content": 29}
    assert report.evidence == {"field": 2466}


def test_every_country_is_there_and_has_test_documents(report):
    assert len(report.continents) == 237
    assert set(report.continents.values()) == set(CONTINENTS)
    for split in ("train", "test"):
        assert len(report.splits[split].by_country) == 237
    assert report.continents.keys() <= countries().keys()


def test_border_countries_have_the_tables_continent(report):
    assert report.continents["ru"] == "Europe"
    assert report.continents["cy"] == report.continents["tr"] == "Asia"
    # Chapters of ru, pg, cy and io, which the Factbook puts into Asia, Asia, Europe and Asia,
    # less one of ru and one of those in Europe, whose texts another country has before them.
    assert report.continents_replaced == 13 + 11 + 11 + 7 - 2


def test_the_store_verifies_and_reads_back(report):
    store = TokenStore.open(report.store)
    assert store.verify() > 2_000_000
    assert store.hosts == ["www.cia.gov"]
    split = store.split("train")
    record = split.record(0)
    assert record.path.startswith("/the-world-factbook/countries/")
    assert "#" not in record.path
    body = store.tokenizer().decode(split.body(0))
    assert len(body) > 200 and "\ufffd" not in body
