"""Stores of many shards under the number of open files that most systems allow."""

import gc
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.common.mapped import mapped
from geo_nemo.diagnostics.limits import check_open_files, too_many_shards
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.load import load_tokenizer
from tests.support.command import SMALL
from tests.unit.store.worlds import write_tokenizer

SHARDS = 60
MOST_FILES = 128


def many_shards(root: Path) -> Path:
    write_tokenizer(root / "spm.model")
    (root / "store").mkdir()
    writer = StoreWriter(
        root / "store", load_tokenizer(root / "spm.model"), root / "spm.model", ["gb", "ke"],
        {"gb": "Europe", "ke": "Africa"}, shard_documents=4,
    )  # fmt: skip
    documents = [
        StoreDocument(f"{n % 3}.co.uk", ("gb", "ke")[n % 2], f"/{n}", n + 1, year=2020)
        for n in range(4 * SHARDS)
    ]
    for split in ("train", "test"):
        writer.add(split, documents, [[5]] * len(documents), [[6, 7] * 40] * len(documents))
    writer.finish({}, [])
    return root / "store"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return many_shards(tmp_path_factory.mktemp("shards"))


def within(number: int, *arguments: str) -> subprocess.CompletedProcess:
    """`geo-nemo ARGUMENTS` in a process that may open so many files, and no more of its own."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))

    return subprocess.run(
        [sys.executable, "-m", "geo_nemo", *arguments],
        capture_output=True, text=True, preexec_fn=limit,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_every_column_of_every_shard_is_open_at_once_without_a_descriptor(store):
    before = len(os.listdir("/proc/self/fd"))
    opened = TokenStore.open(store)
    split = opened.split("train")
    shards = opened.shards("train")
    columns = [[shard.column(name) for name in shard.entry.files] for shard in shards]
    assert sum(len(c) for c in columns) > 10 * SHARDS
    assert split.body(4 * SHARDS - 1).tolist() == [6, 7] * 40
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("store", "stats", "{store}"),
        ("store", "export", "{store}", "--out", "{out}/exported", "--tokens", "trained"),
        ("audit", *SMALL, "data.store={store}", "output_dir={out}/audit"),
        ("train", *SMALL, "data.store={store}", "output_dir={out}/run", "name=x", "train.steps=2",
         "train.warmup_steps=1", "device=cpu", "data.index_workers=0"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)  # fmt: skip
def test_a_command_reads_more_shards_than_it_may_open_files(store, tmp_path, arguments):
    done = within(MOST_FILES, *(a.format(store=store, out=tmp_path) for a in arguments))
    assert done.returncode == 0, done.stderr[-600:]


def test_a_map_lives_as_long_as_a_view_of_it_and_no_longer(tmp_path):
    path = tmp_path / "a-file-of-values"
    np.arange(5000, dtype=np.uint32).tofile(path)

    def is_mapped() -> bool:
        return path.name in Path("/proc/self/maps").read_text()

    view = mapped(path, np.uint32)[10:20]
    gc.collect()
    assert is_mapped() and view.tolist() == list(range(10, 20))
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    del view
    gc.collect()
    assert not is_mapped()
    with pytest.raises(FileNotFoundError):
        mapped(tmp_path / "absent", np.uint8)
    (tmp_path / "empty").write_bytes(b"")
    assert mapped(tmp_path / "empty", np.uint16).shape == (0,)


def test_a_command_raises_its_soft_limit(tmp_path):
    code = (
        "import resource, sys; from geo_nemo.cli import main; sys.argv = ['geo-nemo', 'recipes', "
        "'list']; main.end_process = lambda code: None; main.main(); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (70, 90))

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limit
    )
    assert done.stdout.split()[-1] == "90", done.stderr


def test_more_shards_than_maps_are_told_with_what_to_do(store, monkeypatch):
    manifest = TokenStore.open(store).manifest
    assert too_many_shards(manifest, 65_530) == ""
    assert "sysctl -w vm.max_map_count=" in too_many_shards(manifest, 5_100)
    for hard, level in ((200, "note"), (1 << 20, "ok"), (resource.RLIM_INFINITY, "ok")):
        monkeypatch.setattr(resource, "getrlimit", lambda _, hard=hard: (100, hard))
        assert check_open_files().level == level
