"""Token stores on `s3://`: copied there, and fetched to this machine, where training maps them.

    s3://bucket/store/...                         as on disk; manifest.json goes last
    <cache>/stores/<name>-<hash>/                 a whole copy; the hash is the store's
    <cache>/stores/<name>-<hash>.columns/         one without the documents' tokens, for plans
    <cache>/stores/<name>-<hash>.partial/         one that is being fetched, file by file
    <cache>/stores/<name>-<hash>.lock             held by the process that fetches it

A store that changes in its bucket is another folder here. Its files are named when size and hash
are those of the manifest, and the folder when all of them are there, so a kill leaves nothing that
looks whole, and the next process goes on from the files that are.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import make_folder, partial_of, sync_folder, write_synced, writing
from geo_nemo.common.folders import name_folder
from geo_nemo.common.lock import waiting_lock
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.storage.folder import RemoteFolder, retried
from geo_nemo.storage.transfer import Damaged, Item, check_room, download, upload
from geo_nemo.store.manifest import (
    FETCHED_NAME,
    MANIFEST_NAME,
    DamagedStore,
    Manifest,
    parse_manifest,
    read_manifest,
)
from geo_nemo.store.tokenizer import open_tokenizer
from geo_nemo.store.verify import check_manifest, check_sizes, listed_files
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.load import settings_file

# The manifest of a store that is being pushed: what is there beside it belongs to that one.
PUSHING_NAME = "manifest.pushing.json"
# The same of a store that is being fetched, which is its manifest at the end.
PULLING_NAME = "manifest.pulling.json"
STAGE = "fetch store"
# Of the folder that holds a store without its documents' tokens.
COLUMNS_SUFFIX = ".columns"
# Entries of a manifest have paths under the store's root, whatever it is.
_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Moved:
    """What a push or pull has come to. bytes: of the whole store. was_there: nothing was moved."""

    documents: int
    bytes: int
    hash: str
    was_there: bool


def default_cache_dir() -> Path:
    """$XDG_CACHE_HOME/geo-nemo, or ~/.cache/geo-nemo."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says that a path which is not absolute counts as none.
    base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / "geo-nemo"


def read_remote_manifest(address: str) -> tuple[Manifest, str]:
    """The manifest of the store at `address`, and the 16 hex digits that identify the store."""
    manifest, content_hash, _ = _read_manifest(RemoteFolder(address))
    return manifest, content_hash


def fetch_store(
    address: str,
    cache_dir: str | Path | None = None,
    progress: Progress = no_progress,
    tokens: bool = True,
) -> Path:
    """The folder of this machine that holds the store at `address`, fetched where it was not there.

    tokens: False is content with a folder that lacks the documents' tokens.
    Of several processes that ask, one fetches and the others wait. Raises `UserError`.
    """
    source = RemoteFolder(address)
    manifest, content_hash, content = _read_manifest(source)
    name = source.address.rpartition("/")[2]
    folder = Path(cache_dir or default_cache_dir()) / "stores" / f"{name}-{content_hash}"
    if not tokens and not folder.is_dir():
        folder = folder.with_name(f"{folder.name}{COLUMNS_SUFFIX}")
    if folder.is_dir():
        return folder

    def waits() -> None:
        progress(STAGE, 0, None, "another process fetches it")

    with waiting_lock(folder.with_name(f"{folder.name}.lock"), waits):
        if not folder.is_dir():
            hint = "give data.cache_dir (or $XDG_CACHE_HOME) a folder with more space"
            _pull(source, manifest, content, folder, hint, progress, tokens)
    return folder


def fetch_tokenizer(address: str, folder: Path) -> tuple[Tokenizer, Path]:
    """The tokenizer of the store at `address`, and its file, which is written into `folder`."""
    source = RemoteFolder(address)
    manifest, _, _ = _read_manifest(source)
    return _fetch_tokenizer(source, manifest, folder), folder / manifest.tokenizer.file


def pull_store(address: str, folder: Path, progress: Progress = no_progress) -> Moved:
    """Copy the store at `address` to `folder`, which must not hold another one."""
    source = RemoteFolder(address)
    manifest, content_hash, content = _read_manifest(source)
    lock = folder.with_name(f"{folder.name}.lock")
    with waiting_lock(lock, _nobody):
        was_there = _holds(folder / MANIFEST_NAME, content)
        if not was_there:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UserError(f"{folder} is there already: remove it, or give another folder")
            _pull(source, manifest, content, folder, "give a folder on another disk", progress)
        # One that waits for it still holds the file, and then finds the folder whole.
        lock.unlink(missing_ok=True)
    return _moved(manifest, content_hash, was_there)


def push_store(folder: Path, address: str, progress: Progress = no_progress) -> Moved:
    """Copy the store in `folder` to `address`; its manifest last, so that half a store is none.

    What a push of the same store has copied before is not copied again. Raises `UserError` where
    another store is there, or a file of this one does not match its manifest.
    """
    content, manifest, content_hash = _read_local(folder)
    check_sizes(folder, manifest)
    open_tokenizer(folder, manifest.tokenizer)
    target = RemoteFolder(address)
    there = retried(lambda: target.read(MANIFEST_NAME))
    if there == content:
        return _moved(manifest, content_hash, was_there=True)
    if there is not None:
        raise UserError(
            f"{target.address} holds another store: give another address, or remove that one first"
        )
    sizes = retried(target.sizes)
    if retried(lambda: target.read(PUSHING_NAME)) != content:
        sizes = {}  # of another store's push, perhaps as long as files of this one
        retried(lambda: target.write(PUSHING_NAME, content))
    items = [item for item in _items(manifest) if sizes.get(item.name) != item.size]
    items += _tokenizer_items(folder, manifest)
    upload(folder, target, items, progress, "push store")
    retried(lambda: target.write(MANIFEST_NAME, content))
    retried(lambda: target.delete(PUSHING_NAME))
    return _moved(manifest, content_hash, was_there=False)


def _pull(
    source: RemoteFolder,
    manifest: Manifest,
    content: bytes,
    folder: Path,
    no_room: str,
    progress: Progress,
    tokens: bool = True,
) -> None:
    """Fetch what is missing of a store into `<folder>.partial`, then give it its name."""
    beside = partial_of(folder)
    _begin(beside, content)
    items = _items(manifest, tokens)
    check_room(source.address, beside, items, no_room)
    try:
        _fetch_tokenizer(source, manifest, beside)
        download(source, beside, items, progress, STAGE)
    except Damaged as error:
        raise DamagedStore(f"{error}: push the store again to another address") from None
    with writing(folder):
        write_synced(beside / FETCHED_NAME, f"{source.address}\n".encode())
        if not _holds(beside / MANIFEST_NAME, content):
            os.replace(beside / PULLING_NAME, beside / MANIFEST_NAME)
        sync_folder(beside)
        name_folder(beside, folder)


def _begin(folder: Path, content: bytes) -> None:
    """Make `folder` one for the store of this manifest: what the pull of another has left goes.

    Its files may be as long as those of this one, and would be taken for them.
    """
    if not any(_holds(folder / name, content) for name in (PULLING_NAME, MANIFEST_NAME)):
        with writing(folder):
            if folder.exists():
                shutil.rmtree(folder)
            make_folder(folder)
            write_synced(folder / PULLING_NAME, content)


def _fetch_tokenizer(source: RemoteFolder, manifest: Manifest, folder: Path) -> Tokenizer:
    for name in _tokenizer_names(manifest):
        content = retried(partial(source.read, name))
        if content is not None:
            with writing(folder):
                write_synced(folder / name, content)
    return open_tokenizer(folder, manifest.tokenizer)


def _read_manifest(source: RemoteFolder) -> tuple[Manifest, str, bytes]:
    content = retried(lambda: source.read(MANIFEST_NAME))
    if content is None:
        half = retried(lambda: source.read(PUSHING_NAME)) is not None
        raise UserError(
            f"no whole token store at {source.address} ({MANIFEST_NAME} is missing): "
            + ("run its geo-nemo store push again" if half else "copy one with geo-nemo store push")
        )
    mending = "push it again to another address"
    manifest, content_hash = parse_manifest(content, source.address, mending)
    try:
        check_manifest(_ROOT, manifest)  # its names become files of this machine
    except DamagedStore:
        raise DamagedStore(
            f"{source.address}/{MANIFEST_NAME} does not agree with itself, or names files outside "
            f"the store: {mending}"
        ) from None
    return manifest, content_hash, content


def _read_local(folder: Path) -> tuple[bytes, Manifest, str]:
    manifest, content_hash = read_manifest(folder)
    content = (folder / MANIFEST_NAME).read_bytes()
    return content, manifest, content_hash


def _items(manifest: Manifest, tokens: bool = True) -> list[Item]:
    return [
        Item(str(path.relative_to(_ROOT)), entry.bytes, entry.sha256, hashlib.sha256)
        for path, entry in listed_files(_ROOT, manifest, tokens)
    ]


def _tokenizer_names(manifest: Manifest) -> list[str]:
    file = manifest.tokenizer.file
    beside = settings_file(Path(file), manifest.tokenizer.kind)
    return [file] if beside is None else [file, beside.name]


def _tokenizer_items(folder: Path, manifest: Manifest) -> list[Item]:
    """The tokenizer's files as they are; `open_tokenizer` has compared them with the manifest."""
    items = []
    for name in _tokenizer_names(manifest):
        if (folder / name).exists():
            content = (folder / name).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            items.append(Item(name, len(content), digest, hashlib.sha256))
    return items


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _moved(manifest: Manifest, content_hash: str, was_there: bool) -> Moved:
    documents = sum(split.documents for split in manifest.splits.values())
    size = sum(entry.bytes for _, entry in listed_files(_ROOT, manifest))
    return Moved(documents, size, content_hash, was_there)


def _nobody() -> None: ...
