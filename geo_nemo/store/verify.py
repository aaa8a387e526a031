"""Checks of a token store against its manifest: sizes when it is opened, content on request.

Content is checked a shard a thread: hashing and NumPy let the others run, and each file is read
once, in pieces.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np

from geo_nemo.common.counts import plural
from geo_nemo.common.errors import UserError
from geo_nemo.common.mapped import mapped
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.store.columns import column_problems
from geo_nemo.store.field_checks import entry_problem, field_problems, value_problem
from geo_nemo.store.manifest import (
    COLUMNS,
    HOSTS_NAME,
    START_COLUMNS,
    TOKEN_COLUMNS,
    DamagedStore,
    FieldEntry,
    FileEntry,
    Manifest,
    ShardEntry,
    SplitEntry,
    column_types,
    field_of,
    mend,
    values_file,
)
from geo_nemo.store.tokenizer import open_tokenizer

CHUNK_BYTES = 1 << 24
POLL_S = 0.2
NAMED_IN_ERROR = 50


@dataclass(frozen=True)
class Damage:
    """What is wrong with a file; `file` is relative to the store."""

    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file} {self.problem}"


@dataclass
class _ShardCheck:
    damage: list[Damage]
    countries: Counter[str] = field(default_factory=Counter)


def check_sizes(root: Path, manifest: Manifest, tokens: bool = True) -> None:
    """Every file exists with the size the manifest gives, and the manifest agrees with itself.

    tokens: those of the documents' tokens too.
    """
    check_manifest(root, manifest)
    for path, entry in listed_files(root, manifest, tokens):
        problem = _size_problem(path, entry)
        if problem:
            raise UserError(f"{path} {problem}; {mend(root)}")


def check_manifest(root: Path, manifest: Manifest) -> None:
    """Raise `DamagedStore` unless it agrees with itself, and names files inside `root` alone."""
    for name, split in manifest.splits.items():
        _check_totals(root, name, split)
        for shard in split.shards:
            _check_entry(root, manifest, shard)
    for name, entry in manifest.fields.items():
        problem = entry_problem(entry)
        if problem:
            raise DamagedStore(f"{root}: the manifest's field {name} {problem}; {mend(root)}")
    _inside(root, manifest.tokenizer.file)


def check_content(
    root: Path, manifest: Manifest, progress: Progress = no_progress, workers: int = 0
) -> int:
    """Hash of every file of its splits and meaning of every column; the number of bytes read.

    Raises UserError that names every file that does not match.
    """
    damage = find_damage(root, manifest, progress, workers)
    if damage:
        named = "; ".join(str(root / str(each)) for each in damage[:NAMED_IN_ERROR])
        left = len(damage) - NAMED_IN_ERROR
        more = f" and {plural(left, 'more file')}" if left > 0 else ""
        raise UserError(f"{named}{more}; {mend(root)}")
    return sum(entry.bytes for _, entry in listed_files(root, manifest))


def find_damage(
    root: Path, manifest: Manifest, progress: Progress = no_progress, workers: int = 0
) -> list[Damage]:
    """Everything that is wrong with the store, in the manifest's order; empty for a whole one.

    workers: shards checked at the same time; 0 is one a core.
    Raises DamagedStore where the manifest does not agree with itself.
    """
    check_manifest(root, manifest)
    damage = []
    try:
        open_tokenizer(root, manifest.tokenizer)
    except UserError as error:
        damage.append(Damage(manifest.tokenizer.file, f"cannot be used: {error}"))
    total = sum(entry.bytes for _, entry in listed_files(root, manifest))
    done = _Done()
    problem = _content_problem(root / HOSTS_NAME, manifest.hosts, done.add)
    if problem:
        damage.append(Damage(HOSTS_NAME, problem))
    num_hosts = None if problem else _count_lines(root / HOSTS_NAME)
    for name, entry in manifest.fields.items():
        damage += _check_values(root, name, entry, done.add)
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        futures = [
            pool.submit(_check_shard, root, manifest, shard, num_hosts, done.add)
            for shard in shards
        ]
        waiting = set(futures)
        try:
            while waiting:
                _, waiting = wait(waiting, POLL_S)
                progress("verify", done.bytes, total, f"{len(shards) - len(waiting)} shards")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    checks = iter([future.result() for future in futures])
    for name, split in manifest.splits.items():
        of_split = [next(checks) for _ in split.shards]
        found = [each for check in of_split for each in check.damage]
        counted = sum((check.countries for check in of_split), Counter())
        expected = {c: e.documents for c, e in split.by_country.items() if e.documents}
        if not found and counted != expected:
            found = [Damage(name, f"has other documents by country of {name} than the manifest")]
        damage += found
    return damage


class _Done:
    """Bytes read by all threads."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.bytes += count


def _check_values(
    root: Path, name: str, entry: FieldEntry, read: Callable[[int], None]
) -> list[Damage]:
    """What is wrong with the values of a field."""
    damage, columns = [], {}
    for part, column in entry.files.items():
        file = values_file(name, part)
        problem = _content_problem(root / file, column, read)
        if problem:
            damage.append(Damage(file, problem))
        else:
            columns[part] = mapped(root / file, column.dtype)
    if columns and not damage:
        problem = value_problem(columns["text"], columns["end"])
        if problem:
            damage.append(Damage(values_file(name, "text"), problem))
    return damage


def _check_shard(
    root: Path,
    manifest: Manifest,
    shard: ShardEntry,
    num_hosts: int | None,
    read: Callable[[int], None],
) -> _ShardCheck:
    folder = root / shard.path
    check = _ShardCheck([])
    limits = dict.fromkeys((*TOKEN_COLUMNS, "start.bin"), manifest.tokenizer.vocab_size)
    for name, entry in shard.files.items():
        problem = _content_problem(
            folder / name, entry, read, np.dtype(entry.dtype), limits.get(name)
        )
        if problem:
            check.damage.append(Damage(f"{shard.path}/{name}", problem))
    if not check.damage:
        columns = {name: mapped(folder / name, e.dtype) for name, e in shard.files.items()}
        problems = column_problems(shard, columns, num_hosts)
        problems = problems or field_problems(shard.documents, columns, manifest.fields)
        check.damage = [Damage(f"{shard.path}/{name}", problem) for name, problem in problems]
        if not problems:
            counts = np.bincount(columns["country.bin"], minlength=len(shard.countries))
            check.countries = Counter(
                {c: int(n) for c, n in zip(shard.countries, counts, strict=True) if n}
            )
    return check


def _content_problem(
    path: Path,
    entry: FileEntry,
    read: Callable[[int], None],
    dtype: np.dtype | None = None,
    limit: int | None = None,
) -> str | None:
    """Reads a file once: its size, its hash, and that its values are below `limit`."""
    problem = _size_problem(path, entry)
    if problem:
        return problem
    digest, largest = hashlib.sha256(), -1
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                if limit is not None:
                    largest = max(largest, int(np.frombuffer(chunk, dtype).max()))
                read(len(chunk))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if digest.hexdigest() != entry.sha256:
        return "does not match the manifest's hash"
    if limit is not None and largest >= limit:
        return f"holds {largest}, above {limit - 1}"
    return None


def _size_problem(path: Path, entry: FileEntry) -> str | None:
    try:
        size = path.stat().st_size
    except OSError:
        return "is missing from the store"
    return None if size == entry.bytes else f"has {size} bytes, the manifest says {entry.bytes}"


def _check_totals(root: Path, name: str, split: SplitEntry) -> None:
    for total in ("documents", "title_tokens", "body_tokens"):
        if sum(getattr(shard, total) for shard in split.shards) != getattr(split, total):
            raise DamagedStore(
                f"{root}: the manifest's {total} of {name} do not add up; {mend(root)}"
            )


def _check_entry(root: Path, manifest: Manifest, shard: ShardEntry) -> None:
    folder = _inside(root, shard.path)
    missing = COLUMNS.keys() - shard.files.keys()
    if START_COLUMNS.keys() & shard.files.keys():
        missing |= START_COLUMNS.keys() - shard.files.keys()
    if missing:
        raise DamagedStore(f"{folder}: the manifest lacks {min(missing)}; {mend(root)}")
    for name, entry in shard.files.items():
        tokens = name in TOKEN_COLUMNS and entry.dtype != manifest.dtype
        if entry.dtype not in column_types(name) or tokens:
            raise DamagedStore(f"{folder / name} cannot hold {entry.dtype}; {mend(root)}")
        if (found := field_of(name)) and found[0] not in manifest.fields:
            raise DamagedStore(f"{folder / name} is of no field of the manifest; {mend(root)}")
        if entry.bytes % np.dtype(entry.dtype).itemsize:
            raise DamagedStore(f"{folder / name} is no whole number of values; {mend(root)}")
    if not set(shard.countries) <= set(manifest.countries):
        raise DamagedStore(f"{folder}: the manifest does not list its countries; {mend(root)}")
    if not set(shard.sources) <= set(manifest.source_names):
        raise DamagedStore(f"{folder}: the manifest does not list its sources; {mend(root)}")


def listed_files(
    root: Path, manifest: Manifest, tokens: bool = True
) -> list[tuple[Path, FileEntry]]:
    """Path and entry of every file whose size and hash the manifest gives; see `check_sizes`."""
    files: list[tuple[Path, FileEntry]] = [(root / HOSTS_NAME, manifest.hosts)]
    for name, entry in manifest.fields.items():
        files += [(root / values_file(name, part), each) for part, each in entry.files.items()]
    for split in manifest.splits.values():
        for shard in split.shards:
            files += [
                (root / shard.path / name, entry)
                for name, entry in shard.files.items()
                if tokens or name not in TOKEN_COLUMNS
            ]
    return files


def _inside(root: Path, relative: str) -> Path:
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise DamagedStore(
            f"{root}: the manifest names {relative}, outside the store; {mend(root)}"
        )
    return root / relative


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK_BYTES), b""))
