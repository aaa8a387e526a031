"""Every metric measures, on corpora too small to tell anything but that it does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.prep import (
    fast_store,
    near_dedup,
    peak_memory,
    scaling,
    setting,
    to_store,
    tokenise,
    url_to_country,
)
from benchmarks.prep.contender import texts
from benchmarks.prep.ours.stages import resident
from geo_nemo.common.errors import RunError
from geo_nemo.tokenizers.load import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    setting.train_vocabulary(path, (row["text"] for row in setting.records(40)), 2000)
    return path


@pytest.fixture
def given(tmp_path, tokenizer) -> setting.Setting:
    return setting.Setting(tmp_path, True, False, 1, None, tokenizer, None)


def by_peer(rows) -> dict:
    return {row.peer: row for row in rows}


@pytest.mark.very_slow
def test_tokenise_compares_speeds_of_the_same_ids(given, monkeypatch):
    monkeypatch.setattr(tokenise, "QUICK_BYTES", 60_000)
    monkeypatch.setattr(tokenise, "STAGE_QUICK_BYTES", 100_000)
    rows = tokenise.measure(given)
    assert [row.metric for row in rows] == ["tokenise"] * 2 + ["tokenise_stage"] * 2
    assert by_peer(rows).keys() == {"Hugging Face encode_batch", "Hugging Face encode_batch_fast"}
    for row in rows:
        assert row.ratio == row.value / row.peer_value > 0
    for row in rows[:2]:
        assert row.note.startswith("same ids, ") and "ours by fastokens" in row.note


def test_urls_are_decided_as_often_by_ours_as_by_a_peer(given, monkeypatch):
    monkeypatch.setattr(url_to_country, "QUICK_URLS", 2000)
    row = by_peer(url_to_country.measure(given))["urlsplit + publicsuffixlist"]
    ours, peer = row.note.split(";")[0].removeprefix("decided ").split(", peer ")
    assert ours == peer
    assert row.ratio == row.peer_value / row.value


def test_near_duplicates_that_are_known_are_found_without_a_peer_too(given, monkeypatch):
    monkeypatch.setattr(near_dedup, "QUICK_DOCUMENTS", 400)
    monkeypatch.setattr(near_dedup, "PEERS", (("nobody", "no_such_module"),))
    (row,) = near_dedup.measure(given)
    assert (row.ratio, row.note[:28]) == (None, "not installed; ours: recall ")
    assert float(row.note[28:34]) >= 0.98


@pytest.mark.very_slow
def test_near_duplicates_are_found_beside_a_peer(given, monkeypatch):
    pytest.importorskip("rensa")
    monkeypatch.setattr(near_dedup, "QUICK_DOCUMENTS", 400)
    monkeypatch.setattr(near_dedup, "PEERS", (("rensa", "rensa"),))
    (row,) = near_dedup.measure(given)
    assert row.ratio > 0 and "; peer: recall " in row.note


@pytest.mark.very_slow
def test_a_store_is_made_beside_datatrove_and_a_missing_megatron_is_said(given, monkeypatch):
    monkeypatch.setattr(to_store, "QUICK_BYTES", 300_000)
    rows = {row.metric: row for row in to_store.measure(given)}
    assert rows["jsonl_to_store_vs_datatrove"].ratio > 0
    absent = rows["jsonl_to_store_vs_megatron"]
    assert (absent.ratio, absent.note[:13]) == (None, "not installed")
    store = rows["store_bytes"]
    assert store.ratio == store.peer_value / store.value
    # 300 KB of text with 2,000 pieces: two bytes for each two or three characters.
    assert 150_000 < store.peer_value < store.value < 350_000


@pytest.mark.very_slow
def test_a_store_is_made_beside_megatron_s_fast_script_or_what_it_calls(given, monkeypatch):
    monkeypatch.setattr(fast_store, "QUICK_BYTES", (300_000,))
    rows = fast_store.measure(given)
    assert [row.metric for row in rows] == list(fast_store.METRICS.values())
    assert all(row.peer == "gigatoken encode_files" and row.value > 0 for row in rows)
    checkout = replace(given, megatron=given.folder)
    for row in fast_store.measure(checkout):
        assert (row.peer, row.ratio) == ("Megatron preprocess_data_fast", None)
        assert row.note.endswith("has no tools/preprocess_data_fast.py")


def test_a_fast_peer_whose_ids_are_others_has_no_ratio(given):
    corpus, vocabulary = given.corpus(100_000), given.vocabulary_of(32_000)
    tokenizer = load_tokenizer(vocabulary.path)
    ids = [[*tokenizer.encode(text), tokenizer.eos_id] for text in texts(corpus.path)]
    written = given.folder / "out.bin"
    np.concatenate(ids).astype(np.uint16).tofile(written)
    fast_store._check_ids(corpus, vocabulary, written)
    ids[3][5] += 1
    np.concatenate(ids).astype(np.uint16).tofile(written)
    with pytest.raises(RunError, match="ids of the first 200 texts are not fastokens'"):
        fast_store._check_ids(corpus, vocabulary, written)


@pytest.mark.very_slow
def test_scaling_compares_two_workers_with_one(given, monkeypatch):
    monkeypatch.setattr(scaling, "QUICK_BYTES", 100_000)
    (row,) = scaling.measure(given)
    assert row.unit == "s" and row.value > 0
    assert row.peer_value is None or row.ratio == row.peer_value / row.value


@pytest.mark.very_slow
def test_every_stage_has_a_peak_that_is_no_less_than_its_start(given, monkeypatch):
    monkeypatch.setattr(peak_memory, "QUICK", (200, 400))
    rows = peak_memory.measure(given)
    stages = [row.case.split(",")[0] for row in rows]
    assert {"ingest", "fingerprint", "tokenise", "store"} <= set(stages)
    for row in rows:
        assert row.value > 10 and row.peer_value > 10
        assert row.value >= float(row.note.split("; ")[1].split()[0]) - 1


def test_memory_is_read_in_bytes():
    before = resident("VmRSS")
    block = bytearray(b"x" * 50_000_000)
    assert resident("VmHWM") >= resident("VmRSS") >= before + 45_000_000
    del block
