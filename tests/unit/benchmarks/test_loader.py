"""The loader's benchmark: its stores are stores, and its rows compare the same tokens."""

import numpy as np
import pytest

from benchmarks.loader import index, speed
from benchmarks.loader.setting import Setting
from benchmarks.loader.store import make_store, write_megatron
from geo_nemo.store import TokenStore


def test_a_store_of_random_ids_is_whole_and_megatron_s_file_has_its_tokens(tmp_path):
    root = make_store(tmp_path / "a", documents=300, median_tokens=40)
    store = TokenStore.open(root)
    store.verify()
    split = store.split("train")
    assert split.num_documents == 300
    prefix = write_megatron(root, tmp_path / "megatron")
    eos = [store.tokenizer().eos_id]
    expected = [
        np.concatenate([split.title(number), split.body(number), eos]) for number in range(300)
    ]
    found = np.fromfile(f"{prefix}.bin", np.uint16)
    assert np.array_equal(found, np.concatenate(expected))


@pytest.mark.very_slow
def test_rows_are_measured_beside_megatron_core_s(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "QUICK", (400, 20))
    rows = speed.measure(Setting(tmp_path, quick=True, large=False, rounds=1))
    assert [row.peer for row in rows] == list(speed.MODES.values())
    for row in rows:
        assert row.ratio == row.value / row.peer_value > 0


@pytest.mark.very_slow
def test_an_index_is_built_once_and_its_memory_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "QUICK", (300, 3000))
    build, planned, read = index.measure(Setting(tmp_path, quick=True, large=False, rounds=1))
    assert build.metric == "index_build" and build.value > 0
    assert "3,000 documents" in build.case
    assert planned.case.startswith("planning") and read.case.startswith("reading")
    assert planned.value >= 10 and read.value >= 10
