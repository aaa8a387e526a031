"""Stores as they were before some columns, for tests."""

import os
from pathlib import Path

from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import MANIFEST_NAME, START_COLUMNS


def without_first_words(store: TokenStore, root: Path, shards: slice = slice(None)) -> TokenStore:
    """A copy in `root` in which some shards of each split have no first words."""
    manifest, gone = store.manifest.model_dump(mode="json"), set()
    for split in manifest["splits"].values():
        for shard in split["shards"][shards]:
            shard["files"] = {n: e for n, e in shard["files"].items() if n not in START_COLUMNS}
            gone |= {f"{shard['path']}/{name}" for name in START_COLUMNS}
    for file in filter(Path.is_file, store.root.rglob("*")):
        place = file.relative_to(store.root)
        if str(place) not in {*gone, MANIFEST_NAME}:
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            os.link(file, root / place)
    changed = type(store.manifest).model_validate(manifest)
    (root / MANIFEST_NAME).write_bytes(changed.to_bytes())
    return TokenStore.open(root)
