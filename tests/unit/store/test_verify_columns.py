"""Columns whose hashes hold but whose meaning does not are found by verify."""

import hashlib
import json

import numpy as np
import pytest

from geo_nemo.config import UserError
from geo_nemo.store import TokenStore
from tests.unit.store.worlds import write_store


def forge(store, name: str, values: np.ndarray) -> None:
    """Replace a column of the first shard and its hash in the manifest."""
    (store / "train/00000" / name).write_bytes(values.tobytes())
    manifest = json.loads((store / "manifest.json").read_bytes())
    manifest["splits"]["train"]["shards"][0]["files"][name] = {
        "bytes": values.nbytes,
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
    }
    (store / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("body_end.bin", np.array([5, 4], np.int64), "body_end.bin does not match body.bin"),
        ("body_end.bin", np.array([1, 5], np.int64), "body_end.bin does not match body.bin"),
        ("title_end.bin", np.array([2], np.int64), "title_end.bin does not match title.bin"),
        ("body.bin", np.array([1, 2, 3, 280], np.uint16), "body.bin holds 280, above 279"),
        ("country.bin", np.array([0, 3], np.uint8), "country.bin holds 3, above 2"),
        ("country.bin", np.array([0, 0], np.uint8), "documents by country of train"),
        ("host.bin", np.array([0, 4], np.uint32), "host.bin holds 4, above 3"),
        ("hash.bin", np.array([1], np.uint64), "hash.bin has 1 values"),
    ],
)
def test_forged_column_is_named(tmp_path, name, values, message):
    store = write_store(tmp_path)
    forge(store, name, values)
    with pytest.raises(UserError, match=message):
        TokenStore.open(store).verify()
