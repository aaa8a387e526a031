"""Columns whose hashes hold but whose meaning does not are found by verify."""

import hashlib
import json

import numpy as np
import pytest
import zstandard

from geo_nemo.config import UserError
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import read_manifest
from geo_nemo.store.verify import check_content, find_damage
from tests.unit.store.worlds import BODIES, write_store


def forge(store, name: str, values: np.ndarray) -> None:
    """Replace a column of the first shard, and its type and hash in the manifest."""
    (store / "train/00000" / name).write_bytes(values.tobytes())
    manifest = json.loads((store / "manifest.json").read_bytes())
    manifest["splits"]["train"]["shards"][0]["files"][name] = {
        "bytes": values.nbytes,
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        "dtype": values.dtype.name,
    }
    (store / "manifest.json").write_text(json.dumps(manifest))


def frame(text: bytes) -> np.ndarray:
    return np.frombuffer(zstandard.compress(text), np.uint8)


GOOD = frame(b"/news/1\n")
WIDE, NARROW = np.uint64, np.uint32


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"body_end": np.array([5, 4], NARROW)}, "body_end.bin does not match body.bin"),
        ({"body_end": np.array([5, 4], WIDE)}, "body_end.bin does not match body.bin"),
        ({"body_end": np.array([1, 5], NARROW)}, "body_end.bin does not match body.bin"),
        ({"title_end": np.array([2], NARROW)}, "title_end.bin has 1 values for 2 documents"),
        ({"body": np.array([1, 2, 3, 280], np.uint16)}, "body.bin holds 280, above 279"),
        ({"body": np.array([1, 2, 3], np.uint16)}, "body.bin holds 3 tokens, not 4"),
        ({"country": np.array([0, 2], np.uint8)}, "country.bin holds 2, above 1"),
        ({"country": np.array([0, 0], np.uint8)}, "documents by country of train"),
        ({"source": np.array([2, 0], np.uint8)}, "source.bin holds 2, above 1"),
        ({"host": np.array([0, 2], np.uint8)}, "host.bin holds 2, above 1"),
        ({"host_map": np.array([0, 4], np.uint32)}, "host_map.bin holds 4, above 3"),
        ({"hash": np.array([1], np.uint64)}, "hash.bin has 1 values for 2 documents"),
        ({"year": np.array([1], np.int16)}, "year.bin has 1 values for 2 documents"),
        ({"quality": np.zeros(3, np.uint8)}, "quality.bin has 3 values for 2 documents"),
        ({"cluster": np.array([1], np.uint64)}, "cluster_at.bin does not match cluster.bin"),
        (
            {"cluster": np.array([1], np.uint64), "cluster_at": np.array([2], NARROW)},
            "cluster_at.bin does not match cluster.bin",
        ),
        ({"path_end": np.array([1], NARROW)}, "path_end.bin does not match path.bin"),
        (
            {"path": frame(b"/news/1"), "path_end": np.array([len(frame(b"/news/1"))], NARROW)},
            "path.bin holds 1 paths for 2 documents",
        ),
        (
            {"path": GOOD[:-1], "path_end": np.array([len(GOOD) - 1], NARROW)},
            "path.bin is damaged: a block of paths cannot be unpacked",
        ),
        (
            {"path": frame(b"\xff\n"), "path_end": np.array([len(frame(b"\xff\n"))], NARROW)},
            "path.bin is damaged",
        ),
        ({"year": np.zeros(2, np.uint8)}, "year.bin cannot hold uint8"),
        ({"body": np.zeros(4, np.uint32)}, "body.bin cannot hold uint32"),
    ],
)
def test_forged_column_is_named(tmp_path, columns, message):
    store = write_store(tmp_path)
    for name, values in columns.items():
        forge(store, f"{name}.bin", values)
    with pytest.raises(UserError, match=message):
        TokenStore.open(store).verify()


def test_the_forged_columns_are_well_formed_where_they_should_be(tmp_path):
    """The same forging with good values leaves the store whole."""
    store = write_store(tmp_path)
    forge(store, "path.bin", GOOD)
    forge(store, "path_end.bin", np.array([len(GOOD)], WIDE))
    forge(store, "body_end.bin", np.array([1, 4], WIDE))
    opened = TokenStore.open(store)
    assert opened.verify() > 0
    assert opened.split("train").record(0).path == "/news/1"
    assert opened.split("train").body(1).tolist() == BODIES[1]


def test_every_broken_file_of_every_shard_is_named_once(tmp_path):
    store = write_store(tmp_path)
    for name in ("train/00002/path.bin", "train/00000/year.bin"):
        content = (store / name).read_bytes()
        (store / name).write_bytes(bytes(b ^ 1 for b in content))
    (store / "train/00001/body.bin").unlink()
    (store / "hosts.txt").write_text("a\n")
    manifest, _ = read_manifest(store)
    assert [(d.file, d.problem) for d in find_damage(store, manifest)] == [
        ("hosts.txt", "has 2 bytes, the manifest says 51"),
        ("train/00000/year.bin", "does not match the manifest's hash"),
        ("train/00001/body.bin", "is missing from the store"),
        ("train/00002/path.bin", "does not match the manifest's hash"),
    ]
    with pytest.raises(UserError) as error:
        check_content(store, manifest)
    said = str(error.value)
    for name in ("hosts.txt", "train/00000/year.bin", "train/00001/body.bin"):
        assert said.count(str(store / name)) == 1
    assert "\n" not in said


@pytest.mark.parametrize("workers", [1, 3])
def test_progress_ends_with_all_bytes(tmp_path, workers):
    store = write_store(tmp_path)
    told = []
    opened = TokenStore.open(store)
    read = opened.verify(lambda *told_now: told.append(told_now), workers)
    assert told[-1] == ("verify", read, read, "3 shards")
