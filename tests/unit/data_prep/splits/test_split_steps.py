"""The stages of the split, from parts on disk to one outcome a row."""

import errno
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from data_prep.engine import run_stage
from data_prep.final import final_keys, final_outcomes
from data_prep.splits import OUTCOMES, Assign, Units, outcomes, split_stages
from data_prep.splits.rules import Rules
from data_prep.splits.units import first_word, host_units
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.splits.corpora import Corpus, document, make_corpus

PLACES = ("gb", "ke", "us")


def many(number: int = 600):
    return [document(i, PLACES[i % 3]) for i in range(number)]


def run(corpus: Corpus, monkeypatch) -> None:
    corpus.install(monkeypatch)
    for stage in split_stages():
        run_stage(stage(corpus.config))


def names(corpus: Corpus, of=outcomes) -> list[str]:
    return [OUTCOMES[o] for part in corpus.parts() for o in of(corpus.config, part)]


def test_every_row_has_an_outcome_and_drops_keep_their_reason(tmp_path, monkeypatch):
    corpus = make_corpus(tmp_path, many(), 100, splits={"test_per_continent": 20})
    corpus.dropped = {
        7: ("duplicate_id", 1), 250: ("duplicate_content", 3), 599: ("near_duplicate", 7),
        400: ("held_by_earlier_run", 400),
    }  # fmt: skip
    run(corpus, monkeypatch)
    found = names(corpus)
    assert len(found) == 600
    assert {n: found[n] for n in corpus.dropped} == {n: d[0] for n, d in corpus.dropped.items()}
    test = [corpus.documents[n].country for n in range(600) if found[n] == "test"]
    assert [test.count(place) for place in PLACES] == [20, 20, 20]
    rest = [n for n in range(600) if n not in corpus.dropped]
    assert {found[n] for n in rest} == {"train", "validation", "test"}


def test_what_is_drawn_does_not_depend_on_parts_or_order(tmp_path, monkeypatch):
    settings = {
        "splits": {"test_per_continent": 20},
        "balance": {"keep": {"us": 0.5}, "cap_all": 90},
    }
    found = []
    for name, order, size in (("a", range(600), 100), ("b", reversed(range(600)), 250)):
        documents = many()
        corpus = make_corpus(tmp_path / name, [documents[i] for i in order], size, **settings)
        run(corpus, monkeypatch)
        found.append(dict(zip((d.id for d in corpus.documents), names(corpus), strict=True)))
    assert found[0] == found[1]
    assert set(found[0].values()) == {"train", "validation", "test", "over_cap", "not_kept"}


def test_near_duplicates_that_are_kept_share_a_split_across_parts_and_countries(
    tmp_path, monkeypatch
):
    corpus = make_corpus(
        tmp_path, many(), 50,
        dedup={"near": {"action": "keep"}},
        splits={"train": 0.5, "validation": 0.2, "test": 0.3},
    )  # fmt: skip
    corpus.clusters = {n: n % 100 for n in range(100, 600)}
    run(corpus, monkeypatch)
    found = np.array(names(corpus)).reshape(6, 100)
    assert (found == found[0]).all()
    assert set(found[0]) == {"train", "validation", "test"}


def test_by_host_a_domain_is_in_one_split_under_all_its_hosts(tmp_path, monkeypatch):
    documents = [
        document(i, "gb", host=f"{'ab'[i % 2]}.paper{i // 8}.co.uk", domain=f"paper{i // 8}.co.uk")
        for i in range(400)
    ]
    corpus = make_corpus(
        tmp_path, documents, 70,
        splits={"by": "host", "train": 0.6, "validation": 0.1, "test": 0.3},
    )  # fmt: skip
    run(corpus, monkeypatch)
    found = np.array(names(corpus)).reshape(50, 8)
    assert (found == found[:, :1]).all()
    counts = {split: int((found == split).sum()) for split in ("test", "validation", "train")}
    assert counts == {"test": 120, "validation": 40, "train": 240}


def test_by_year_with_years_of_each_split(tmp_path, monkeypatch):
    corpus = make_corpus(
        tmp_path, many(), 100,
        splits={"by": "year", "test_years": [2023, 2024], "validation_years": [2022]},
    )  # fmt: skip
    run(corpus, monkeypatch)
    expected = {2024: "test", 2023: "test", 2022: "validation"}
    assert names(corpus) == [expected.get(d.year, "train") for d in corpus.documents]


def test_overlap_with_an_evaluation_takes_from_train_alone(tmp_path, monkeypatch):
    corpus = make_corpus(tmp_path, many(), 100, splits={"test_per_continent": 20})
    corpus.dropped = {8: ("duplicate_id", 1)}
    run(corpus, monkeypatch)
    before = names(corpus)
    keys = final_keys(corpus.config)
    corpus.hits = {8, before.index("test"), before.index("validation"), before.index("train")}
    after = names(corpus, final_outcomes)
    changed = [n for n in range(600) if before[n] != after[n]]
    assert changed == [before.index("train")]
    assert after[changed[0]] == "evaluation_overlap"
    assert all(a != b for a, b in zip(keys, final_keys(corpus.config), strict=True))


def test_a_second_run_has_the_same_bytes_and_another_seed_other_keys(tmp_path, monkeypatch):
    files = []
    for name in ("a", "b"):
        corpus = make_corpus(tmp_path / name, many(), 100)
        run(corpus, monkeypatch)
        work = Path(corpus.config.output) / "work"
        files.append({
            str(p.relative_to(work)): p.read_bytes()
            for stage in ("units", "split", "assign")
            for p in sorted((work / stage).rglob("*")) if p.is_file()
        })  # fmt: skip
    assert files[0] == files[1]
    other = corpus.config.model_copy(update={"seed": 1})
    keys = {task.key for task in Assign(corpus.config).tasks()}
    assert not keys & {task.key for task in Assign(other).tasks()}


def test_assign_counts_by_outcome_and_country(tmp_path, monkeypatch):
    corpus = make_corpus(tmp_path, many(60), 25, splits={"test_per_continent": 4})
    corpus.dropped = {4: ("near_duplicate", 1)}  # of ke
    run(corpus, monkeypatch)
    total: dict[tuple[str, str], int] = {}
    for receipt in Assign(corpus.config).receipts():
        for outcome, by_country in receipt.counts["by_country"].items():
            for country, count in by_country.items():
                total[outcome, country] = total.get((outcome, country), 0) + count
    expected: dict[tuple[str, str], int] = {}
    for outcome, each in zip(names(corpus), corpus.documents, strict=True):
        expected[outcome, each.country] = expected.get((outcome, each.country), 0) + 1
    assert total == expected


def test_a_listed_country_without_documents_stops_the_split(tmp_path, monkeypatch):
    corpus = make_corpus(tmp_path, many(), 100, annotate={"countries": ["gb", "ke", "us", "za"]})
    with pytest.raises(UserError, match="no document from za"):
        run(corpus, monkeypatch)


def test_rules_survive_being_written():
    rules = Rules(
        "host", 7, np.array([3, 2**64 - 1], np.uint64), np.array([5], np.uint64), 2**63 + 1,
        (2024,), (2023,), {"gb": 2**64 - 1}, {"us": 2**53 + 1},
    )  # fmt: skip
    again = Rules.from_json(rules.to_json(), test=rules.test, validation=rules.validation)
    assert again.to_json() == rules.to_json()
    assert again.validation_limit == 2**63 + 1
    assert again.cap_limit == {"us": 2**53 + 1}


def test_columns_of_a_slice_are_those_of_its_rows():
    import pyarrow as pa

    hashes = pa.array([bytes([i]) * 16 for i in range(5)], pa.binary(16))[2:4]
    assert first_word(hashes).tolist() == [0x0202020202020202, 0x0303030303030303]
    domains = pa.array(["x", "a.uk", "", ""])[1:]
    hosts = pa.array(["x", "www.a.uk", "10.0.0.1", "a.uk"])[1:]
    units = host_units(domains, hosts)
    assert units[0] == units[2] != units[1]


def test_a_disk_that_is_full_is_an_error_and_ends_no_process(tmp_path, monkeypatch):
    corpus = make_corpus(tmp_path / "c", many(20_000), 20_000)
    corpus.install(monkeypatch)
    stage, disk = Units(corpus.config), tmp_path / "disk"
    (task,) = stage.tasks()
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk]).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        child = os.fork()  # a page that has no place on the disk ends it by SIGBUS
        if child == 0:
            try:
                stage.run(task, disk, lambda *_: None)
            except OSError as error:
                os._exit(error.errno)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.ENOSPC
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
