"""Documents of which nothing tells the country: kept without its line, or dropped."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.annotate import Annotator
from data_prep.card import CardData
from data_prep.config import Annotate, Prep
from data_prep.corpus_out import read_corpus
from data_prep.graph import run_prep
from data_prep.ingest import unplaced_of
from data_prep.store_tools.sample import sample_store
from data_prep.store_tools.stats import store_stats
from data_prep.store_tools.where import parse_where
from geo_nemo.config import Data, MetadataPolicy
from geo_nemo.config.load import load_config
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.groups import grouping_of
from geo_nemo.metadata.compose import Composer
from geo_nemo.store import TokenStore
from tests.unit.data_prep.worlds import record, records, write_jsonl


def nowhere(i, **changes):
    """A record whose country nothing tells."""
    made = record(i, url=f"https://news{i % 3}.com/story/{i}", **changes)
    return {name: value for name, value in made.items() if name != "country"}


def prepared(tmp_path, name="out", given=None, **settings):
    given = [*records(12), *map(nowhere, range(100, 108))] if given is None else given
    path = write_jsonl(tmp_path / "in.jsonl", given)
    config = Prep.model_validate(
        {"input": str(path), "output": str(tmp_path / name), "execution": {"workers": 1},
         "tokenizer": {"vocab_size": 400, "shrink": True},
         "splits": {"train": 1, "validation": 0, "test": 0}, **settings}
    )  # fmt: skip
    run_prep(config)
    return config


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def store(kept):
    return TokenStore.open(Path(kept.output, "store"), check_hashes=True)


def counts_of(store):
    split = store.split("train")
    return dict(zip(store.countries, np.bincount(split.country).tolist(), strict=True))


@pytest.mark.parametrize(
    ("annotate", "keeps"),
    [
        ({}, True),
        ({"countries": ["gb"]}, False),
        ({"on_unknown_country": "drop"}, False),
        ({"countries": ["gb"], "on_unknown_country": "keep"}, True),
    ],
)
def test_when_a_document_of_unknown_country_is_kept(annotate, keeps):
    annotator = Annotator(Annotate.model_validate(annotate))
    given = nowhere(1)
    if keeps:
        found = annotator.document(given, "now")
        assert (found.country, found.continent, found.evidence, found.confidence) == (
            "unknown", "unknown", "unknown", 0.0,
        )  # fmt: skip
    else:
        with pytest.raises(Exception, match="no_country"):
            annotator.document(given, "now")
    # What is known is not made unknown, and another country than those listed is not let in.
    assert annotator.document(record(2), "now").country == "gb"
    if annotate.get("countries"):
        with pytest.raises(Exception, match="country_not_listed"):
            annotator.document(record(2, place="ke"), "now")


def test_a_corpus_of_ours_is_read_again_as_it_is():
    given = nowhere(1) | {"country": "unknown", "continent": "unknown"}
    assert Annotator(Annotate()).document(given, "now").country == "unknown"
    known = record(1) | {"country": "unknown", "continent": "unknown"}
    assert Annotator(Annotate()).document(known, "now").country == "gb"


def test_the_store_counts_them_as_unknown(store):
    assert counts_of(store) == {"gb": 4, "ke": 4, "unknown": 8, "us": 4}
    assert store.continents == ("Africa", "America", "Europe", "unknown")
    stats = store_stats(store)
    assert {c.name: c.documents for c in stats.countries}["unknown"] == 8
    assert grouping_of(store, ["country", "continent"]).names[-1] == "us, unknown"


def test_the_line_of_the_country_is_left_out(store):
    split = store.split("train")
    for policy in (MetadataPolicy(), MetadataPolicy(fields=("country",), template="meco")):
        composer = Composer(policy, store.tokenizer())
        for i in range(len(split)):
            text = "".join(composer.block_texts(split.record(i)))
            known = store.countries[split.country[i]] != "unknown"
            assert ("COUNTRY" in text, "unknown" in text) == (known, False)
            assert ("CONTINENT" in text) == (known and "continent" in policy.fields)


def test_rows_and_accounting_hold_them(store):
    split = store.split("train")
    data = Data(store="unused", seq_length=128, packing_window=16)
    rows = StageDataset(
        split, data, MetadataPolicy(), store.tokenizer(), np.arange(len(split)), 3, None
    )
    assert rows.ledger(len(rows))["unknown"]["documents"] == 8


def test_corpus_and_card_say_so(kept):
    documents = list(read_corpus(Path(kept.output, "corpus"), "train"))
    assert sum(document["country"] == "unknown" for document in documents) == 8
    card = CardData.model_validate_json(Path(kept.output, "report.json").read_bytes())
    assert card.continents["unknown"] == "unknown"
    text = Path(kept.output, "card.md").read_text()
    assert "3 countries" in text
    assert "Nothing tells the country of 40.0% of the documents" in text


def test_those_that_are_dropped_are_told_also_where_a_list_holds_their_text(tmp_path):
    """As the annotator reads them: a list of one value is that value."""
    odd = nowhere(1) | {"text": ["Some text."], "url": ["https://news1.com/a"]}
    config = prepared(
        tmp_path, given=[*records(12), odd, nowhere(2)], annotate={"on_unknown_country": "drop"}
    )
    found = unplaced_of(Path(config.output))
    assert {host: (w.documents, w.dropped) for host, w in found.items()} == {
        "news1.com": (1, 1), "news2.com": (1, 1),
    }  # fmt: skip
    assert (found["news1.com"].bytes, found["news1.com"].example) == (10, "https://news1.com/a")


def test_a_sample_of_them_alone(kept, tmp_path):
    where = parse_where(["country=unknown"])
    sample_store(Path(kept.output, "store"), tmp_path / "some", 5, where=where)
    assert counts_of(TokenStore.open(tmp_path / "some", check_hashes=True)) == {"unknown": 5}


def test_they_are_no_continent_of_the_test_split(tmp_path):
    given = [*records(60), *map(nowhere, range(100, 102))]
    config = prepared(tmp_path, given=given, splits={"test_per_continent": 4})
    store = TokenStore.open(Path(config.output, "store"))
    names = [store.countries[c] for c in store.split("test").country]
    assert len(names) == 12 and "unknown" not in names


def test_they_are_balanced_by_their_name(tmp_path):
    config = prepared(tmp_path, balance={"cap": {"unknown": 3}})
    assert counts_of(TokenStore.open(Path(config.output, "store")))["unknown"] == 3


def test_an_old_recipe_that_says_drop_is_exact(tmp_path):
    """A run that drops them is, to the byte of its store, one that never saw them."""
    dropped = prepared(tmp_path, annotate={"on_unknown_country": "drop"})
    clean = prepared(tmp_path, "clean", records(12))
    a, b = (Path(each.output, "store", "train") for each in (dropped, clean))
    files = sorted(p.relative_to(a) for p in a.rglob("*.bin"))
    assert files and all((a / p).read_bytes() == (b / p).read_bytes() for p in files)
    manifest = TokenStore.open(Path(dropped.output, "store")).manifest
    assert manifest.quarantine == {"no_country": 8} and "unknown" not in manifest.countries


def test_a_word_that_is_neither_is_a_mistake(tmp_path):
    words = [f"input={tmp_path}", "output=out", "annotate.on_unknown_country=ignore"]
    with pytest.raises(Exception, match="on_unknown_country='ignore'"):
        load_config("prep", Prep, words)


def test_what_a_kill_left_is_not_counted(tmp_path):
    for name in ("00000", "00001.partial", "00000.before.partial"):
        (tmp_path / "work/ingest" / name).mkdir(parents=True)
        (tmp_path / "work/ingest" / name / "unplaced.json").write_text('{"a.io": [2, 1, 9, "x"]}')
    assert unplaced_of(tmp_path)["a.io"].documents == 2
