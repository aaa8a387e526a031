"""Checks of a token store against its manifest: sizes when it is opened, content on request."""

import hashlib
from pathlib import Path

import numpy as np

from geo_nemo.config.errors import UserError
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.store.manifest import HOSTS_NAME, FileEntry, Manifest, ShardEntry, mend

CHUNK_BYTES = 1 << 24


def check_sizes(root: Path, manifest: Manifest) -> None:
    """Every file exists with the size the manifest gives, and the manifest agrees with itself."""
    _check_size(root, root / HOSTS_NAME, manifest.hosts.bytes)
    _inside(root, manifest.tokenizer.file)
    columns = manifest.columns()
    for name, split in manifest.splits.items():
        if sum(shard.documents for shard in split.shards) != split.documents:
            raise UserError(f"{root}: the manifest's shards of {name} do not add up; {mend(root)}")
        for shard in split.shards:
            folder = _inside(root, shard.path)
            missing = columns.keys() - shard.files.keys()
            if missing:
                raise UserError(f"{folder}: the manifest lacks {min(missing)}; {mend(root)}")
            for file, entry in shard.files.items():
                _check_size(root, folder / file, entry.bytes)
                if file in columns and entry.bytes % columns[file].itemsize:
                    raise UserError(f"{folder / file} is no whole number of values; {mend(root)}")


def check_content(root: Path, manifest: Manifest, progress: Progress = no_progress) -> int:
    """Hash of every file and meaning of every column; the number of bytes read."""
    files = [(root / HOSTS_NAME, manifest.hosts)]
    for split in manifest.splits.values():
        for shard in split.shards:
            files += [(root / shard.path / name, entry) for name, entry in shard.files.items()]
    total = sum(entry.bytes for _, entry in files)
    done = 0
    for path, entry in files:
        _check_hash(root, path, entry)
        done += entry.bytes
        progress("verify", done, total, path.name)
    num_hosts = len((root / HOSTS_NAME).read_text(encoding="utf-8").splitlines())
    for name, split in manifest.splits.items():
        title = body = 0
        documents = np.zeros(len(manifest.countries), np.int64)
        for shard in split.shards:
            shard_title, shard_body, countries = _check_columns(root, manifest, shard, num_hosts)
            title, body, documents = title + shard_title, body + shard_body, documents + countries
        if (title, body) != (split.title_tokens, split.body_tokens):
            raise UserError(
                f"{root}: {name} holds {title}+{body} tokens, not those of the manifest; "
                f"{mend(root)}"
            )
        found = {manifest.countries[i]: int(n) for i, n in enumerate(documents) if n}
        if found != {c: e.documents for c, e in split.by_country.items() if e.documents}:
            raise UserError(
                f"{root}: documents by country of {name} are not those of the manifest; "
                f"{mend(root)}"
            )
    return total


def _check_columns(
    root: Path, manifest: Manifest, shard: ShardEntry, num_hosts: int
) -> tuple[int, int, np.ndarray]:
    """Title tokens, body tokens and documents by country of a shard whose columns hold."""
    folder = root / shard.path
    columns = {
        name: np.fromfile(folder / name, dtype)
        if (folder / name).stat().st_size < CHUNK_BYTES
        else np.memmap(folder / name, dtype, "r")
        for name, dtype in manifest.columns().items()
    }
    for name in ("country.bin", "host.bin", "hash.bin"):
        if len(columns[name]) != shard.documents:
            raise UserError(f"{folder / name} has {len(columns[name])} values; {mend(root)}")
    for name in ("title", "body", "path"):
        ends, values = columns[f"{name}_end.bin"], columns[f"{name}.bin"]
        rises = len(ends) == 0 or (ends[0] >= 0 and bool((np.diff(ends) >= 0).all()))
        last = int(ends[-1]) if len(ends) else 0
        if len(ends) != shard.documents or not rises or last != len(values):
            raise UserError(f"{folder / name}_end.bin does not match {name}.bin; {mend(root)}")
    limits = {
        "title.bin": manifest.tokenizer.vocab_size,
        "body.bin": manifest.tokenizer.vocab_size,
        "country.bin": len(manifest.countries),
        "host.bin": num_hosts,
    }
    for name, limit in limits.items():
        values = columns[name]
        if len(values) and int(values.max()) >= limit:
            raise UserError(
                f"{folder / name} holds {int(values.max())}, above {limit - 1}; {mend(root)}"
            )
    countries = np.bincount(columns["country.bin"], minlength=len(manifest.countries))
    return len(columns["title.bin"]), len(columns["body.bin"]), countries


def _inside(root: Path, relative: str) -> Path:
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise UserError(f"{root}: the manifest names {relative}, outside the store; {mend(root)}")
    return root / relative


def _check_size(root: Path, path: Path, expected: int) -> None:
    try:
        size = path.stat().st_size
    except OSError:
        raise UserError(f"{path} is missing from the store; {mend(root)}") from None
    if size != expected:
        raise UserError(f"{path} has {size} bytes, the manifest says {expected}; {mend(root)}")


def _check_hash(root: Path, path: Path, entry: FileEntry) -> None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if digest.hexdigest() != entry.sha256:
        raise UserError(f"{path} does not match the manifest's hash; {mend(root)}")
