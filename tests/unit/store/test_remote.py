"""Stores on `s3://`: pushed, fetched once a node, whole or absent, whatever ends a process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from geo_nemo.config import UserError
from geo_nemo.storage import folder as folder_module
from geo_nemo.store import TokenStore
from geo_nemo.store import remote as remote_module
from geo_nemo.store.remote import (
    PULLING_NAME,
    PUSHING_NAME,
    default_cache_dir,
    fetch_store,
    pull_store,
    push_store,
    read_remote_manifest,
)
from tests.unit.data_prep.store_tools.worlds import Text
from tests.unit.data_prep.store_tools.worlds import write_store as write_texts
from tests.unit.data_prep.tokenise.worlds import write_tiktoken
from tests.unit.store.worlds import write_store

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store"), shard_documents=5)


@pytest.fixture
def address(bucket):
    return bucket.address("data/news")


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(folder_module, "WAITS_S", (0.0,))


def files(folder: Path) -> dict[str, bytes]:
    """Content of every file but the note of where it was fetched."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "fetched_from")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def run(script: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_a_store_goes_up_and_comes_down_as_it_is(store, address, bucket, tmp_path):
    pushed = push_store(store, address)
    assert {key.removeprefix("data/news/") for key in bucket.names()} == files(store).keys()
    pulled = pull_store(address, tmp_path / "there" / "news")
    assert files(tmp_path / "there" / "news") == files(store)
    opened = TokenStore.open(tmp_path / "there" / "news", check_hashes=True)
    assert pushed == pulled
    assert (pulled.hash, pulled.documents, pulled.was_there) == (opened.hash, 5, False)
    assert push_store(store, address).was_there
    assert pull_store(address, tmp_path / "there" / "news").was_there
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["news"]


def test_a_tokenizer_of_two_files_comes_along(address, tmp_path):
    tokenizer = write_tiktoken(tmp_path / "own.tiktoken")
    store = write_texts(tmp_path / "a", tokenizer, {"train": [Text("Some text.", "T", "gb")]})
    push_store(store, address)
    pull_store(address, tmp_path / "b")
    assert files(tmp_path / "b") == files(store)
    assert "tokenizer.tiktoken.json" in files(store)


def test_a_store_is_opened_by_its_address_and_fetched_once(store, address, tmp_path, monkeypatch):
    push_store(store, address)
    told = []
    opened = TokenStore.open(
        address, cache_dir=tmp_path, progress=lambda *a: told.append(a[:3]), check_hashes=True
    )
    assert opened.root == tmp_path / "stores" / f"news-{opened.hash}"
    assert opened.address == address
    assert told[-1][0] == "fetch store" and told[-1][1] == told[-1][2] > 0
    assert opened.split("train").body(4).tolist() == [26, 27, 28, 29]

    def never(*_):
        raise AssertionError("fetched again")

    monkeypatch.setattr(remote_module, "download", never)
    assert TokenStore.open(address, cache_dir=tmp_path).root == opened.root


def test_a_plan_s_copy_is_without_tokens_and_is_not_taken_for_a_whole_one(
    store, address, tmp_path, monkeypatch
):
    push_store(store, address)
    told = []
    opened = TokenStore.open(
        address, cache_dir=tmp_path, progress=lambda *a: told.append(a[:3]), tokens=False
    )
    assert opened.root == tmp_path / "stores" / f"news-{opened.hash}.columns"
    tokens = {name for name in files(store) if name.endswith(("/body.bin", "/title.bin"))}
    assert len(tokens) == 2
    columns = {name: content for name, content in files(store).items() if name not in tokens}
    assert files(opened.root) == columns
    fetched = (len(columns[name]) for name in columns if "/" in name or name == "hosts.txt")
    assert told[-1] == ("fetch store", told[-1][2], sum(fetched))
    split = TokenStore.open(store).split("train")
    assert opened.split("train").body_lengths.tolist() == [len(split.body(i)) for i in range(5)]
    with pytest.raises(UserError, match=r"\.columns/.*body\.bin is missing from the store"):
        TokenStore.open(opened.root)

    whole = TokenStore.open(address, cache_dir=tmp_path, check_hashes=True)
    assert whole.root == tmp_path / "stores" / f"news-{opened.hash}"
    shutil.rmtree(opened.root)
    monkeypatch.setattr(remote_module, "download", None)
    assert TokenStore.open(address, cache_dir=tmp_path, tokens=False).root == whole.root


def test_another_store_at_the_address_is_another_folder(store, address, bucket, tmp_path):
    push_store(store, address)
    first = fetch_store(address, tmp_path / "cache")
    other = write_store(tmp_path, shard_documents=9, others_first=True)
    with pytest.raises(UserError, match=f"^{address} holds another store: give another address"):
        push_store(other, address)
    bucket.delete(*bucket.names())
    push_store(other, address)
    second = fetch_store(address, tmp_path / "cache")
    assert first != second
    assert (files(first), files(second)) == (files(store), files(other))


def test_the_cache_is_where_the_desktop_s_rule_says(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast/cache")
    assert default_cache_dir() == Path("/fast/cache/geo-nemo")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache_dir() == Path("/home/me/.cache/geo-nemo")


@pytest.mark.parametrize("file", ["train/00000/body.bin", "hosts.txt"])
def test_an_object_with_other_content_is_named(store, address, bucket, tmp_path, file):
    push_store(store, address)
    bucket.damage(f"data/news/{file}")
    with pytest.raises(UserError, match=f"^{address}/{file} has other content .*push the store"):
        fetch_store(address, tmp_path)
    assert [path.suffix for path in (tmp_path / "stores").iterdir() if path.is_dir()] == [
        ".partial"
    ]
    push_other = bucket.get("data/news/manifest.json")
    bucket.delete("data/news/manifest.json")
    push_store(store, address)  # nothing there tells that the damaged one is as it should be
    assert bucket.get("data/news/manifest.json") == push_other
    assert files(fetch_store(address, tmp_path)) == files(store)


def test_a_tokenizer_that_is_not_the_store_s_is_refused(store, address, bucket, tmp_path):
    push_store(store, address)
    bucket.damage("data/news/tokenizer.model")
    with pytest.raises(UserError, match=r"tokenizer\.model"):
        fetch_store(address, tmp_path)
    assert not [p for p in (tmp_path / "stores").iterdir() if p.is_dir() and not p.suffix]


def test_a_file_that_does_not_match_its_manifest_is_not_pushed(store, address, tmp_path):
    copy = shutil.copytree(store, tmp_path / "copy")
    path = copy / "train" / "00000" / "body.bin"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(UserError, match=r"body.bin was changed since it was written"):
        push_store(copy, address)
    with pytest.raises(UserError, match=r"no whole token store at .*run its geo-nemo store push"):
        fetch_store(address, tmp_path / "cache")


def test_a_manifest_may_name_no_file_outside_the_store(store, address, bucket, tmp_path):
    push_store(store, address)
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["splits"]["train"]["shards"][0]["path"] = "../../elsewhere"
    bucket.put("data/news/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(UserError, match="names files outside the store: push it again") as error:
        fetch_store(address, tmp_path)
    assert "remove the folder" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://news/data/none", "no whole token store at s3://news/data/none"),
        ("s3://nobodys-bucket/news", "cannot read s3://nobodys-bucket/news: no such bucket"),
        ("s3://news", "give a bucket and a folder"),
        ("s3://KEY:hidden@news/data", "credentials belong in the environment"),
    ],
)
def test_what_is_no_store_is_a_line(bucket, tmp_path, address, message):
    with pytest.raises(UserError, match=message) as error:
        TokenStore.open(address, cache_dir=tmp_path)
    assert "hidden" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said_before_the_first_byte(store, address, tmp_path, monkeypatch):
    push_store(store, address)
    usage = SimpleNamespace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"0.0 GB are free: give data.cache_dir"):
        fetch_store(address, tmp_path)
    with pytest.raises(UserError, match="give a folder on another disk"):
        pull_store(address, tmp_path / "news")
    assert not list(tmp_path.rglob("*.bin"))


def test_a_folder_that_holds_something_else_is_left_alone(store, address, tmp_path):
    push_store(store, address)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already: remove it, or give another folder"):
        pull_store(address, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


KILLED = """
import os, signal, sys
from pathlib import Path
from geo_nemo.storage import transfer
from geo_nemo.store import remote
left = int(sys.argv[4])
transfer.FILES, transfer.UPLOADS, transfer.RANGE_BYTES = 1, 1, 16
def killed(name):
    original = getattr(transfer, name)
    def call(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)
    setattr(transfer, name, call)
if sys.argv[1] == "push":
    killed("_upload")
    remote.push_store(Path(sys.argv[2]), sys.argv[3])
else:
    killed("_read_all")
    remote.fetch_store(sys.argv[3], sys.argv[2])
"""


@pytest.mark.parametrize("after", [0, 8, 16])
def test_killed_in_a_pull_nothing_looks_whole_and_the_next_goes_on(
    store, address, tmp_path, monkeypatch, after
):
    push_store(store, address)
    done = run(KILLED, "pull", tmp_path, address, after)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (partial,) = (path for path in (tmp_path / "stores").iterdir() if path.is_dir())
    assert partial.suffix == ".partial"
    there = {path for path in files(partial) if not path.endswith(".partial")}
    assert "manifest.json" not in there
    asked = []
    reading = folder_module.RemoteFolder.reading

    def noted(self, name):
        asked.append(name)
        return reading(self, name)

    monkeypatch.setattr(folder_module.RemoteFolder, "reading", noted)
    assert files(fetch_store(address, tmp_path)) == files(store)
    assert not there & set(asked)
    assert [p.suffix for p in (tmp_path / "stores").iterdir()].count(".partial") == 0


@pytest.mark.parametrize("after", [0, 8])
def test_killed_in_a_push_there_is_no_store_and_the_next_goes_on(
    store, address, bucket, tmp_path, after
):
    done = run(KILLED, "push", store, address, after)
    assert done.returncode == -signal.SIGKILL, done.stderr
    there = set(bucket.names())
    assert len(there) == after + 1 and f"data/news/{PUSHING_NAME}" in there
    with pytest.raises(UserError, match="run its geo-nemo store push again"):
        read_remote_manifest(address)
    before = {key: bucket.client.head_object(Bucket="news", Key=key) for key in there}
    push_store(store, address)
    assert {key.removeprefix("data/news/") for key in bucket.names()} == files(store).keys()
    for key, head in before.items():
        if key != f"data/news/{PUSHING_NAME}":
            assert (
                bucket.client.head_object(Bucket="news", Key=key)["LastModified"]
                == (head["LastModified"])
            )
    pull_store(address, tmp_path / "news")
    assert files(tmp_path / "news") == files(store)


def test_what_another_store_s_push_has_left_is_written_anew(store, address, bucket, tmp_path):
    sizes = {name: len(content) for name, content in files(store).items()}
    for name, size in sizes.items():
        if name != "manifest.json":
            bucket.put(f"data/news/{name}", bytes(size))
    bucket.put(f"data/news/{PUSHING_NAME}", b"{}")
    push_store(store, address)
    pull_store(address, tmp_path / "news")
    assert files(tmp_path / "news") == files(store)


@pytest.mark.parametrize("kept", ["", PULLING_NAME, "manifest.json"])
def test_what_the_pull_of_another_store_has_left_is_fetched_anew(store, address, tmp_path, kept):
    """Files as long as this store's; also where an older version or nobody tells whose they are."""
    push_store(store, address)
    left = tmp_path / "news.partial"
    for name, content in files(store).items():
        (left / name).parent.mkdir(parents=True, exist_ok=True)
        (left / name).write_bytes(bytes(len(content)))
    (left / "manifest.json").unlink()
    (left / "train/00000/field.theirs.code.bin").write_bytes(b"theirs")
    if kept:
        (left / kept).write_bytes(b"{}")
    pull_store(address, tmp_path / "news")
    assert files(tmp_path / "news") == files(store)
    assert [path.name for path in tmp_path.iterdir()] == ["news"]


TOGETHER = """
import sys, time
from pathlib import Path
from geo_nemo.storage import transfer
from geo_nemo.store.remote import fetch_store
name, address, cache, notes = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
original = transfer._download
def held(*arguments):
    (notes / f"{name} fetches").touch()
    while not (notes / "second waits").exists():
        time.sleep(0.01)
    return original(*arguments)
transfer._download = held
def progress(stage, done, total=None, note=""):
    if note == "another process fetches it":
        (notes / f"{name} waits").touch()
print(fetch_store(address, cache, progress))
"""


def test_of_two_processes_one_fetches_and_the_other_waits(store, address, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()

    def start(name):
        command = [sys.executable, "-c", TOGETHER, name, address, tmp_path / "cache", notes]
        return subprocess.Popen(
            list(map(str, command)), cwd=ROOT, env={**os.environ}, stdout=subprocess.PIPE, text=True
        )

    push_store(store, address)
    first = start("first")
    try:
        while not (notes / "first fetches").exists():
            assert first.poll() is None
            time.sleep(0.01)
        second = start("second")
        paths = {process.communicate(timeout=100)[0].strip() for process in (first, second)}
    finally:
        first.kill()
    assert sorted(path.name for path in notes.iterdir()) == ["first fetches", "second waits"]
    (path,) = paths
    assert files(Path(path)) == files(store)


def test_fields_of_the_users_own_travel_with_a_store(address, tmp_path):
    from tests.unit.store.test_fields import write
    from tests.unit.store.worlds import write_tokenizer

    write_tokenizer(tmp_path / "spm.model")
    given = [{"topic": "sport"}, {"topics": ("a", "b")}, {}, {"author": "é"}]
    root = write(tmp_path / "own", tmp_path / "spm.model", given)
    push_store(root, address)
    pull_store(address, tmp_path / "back")
    assert files(tmp_path / "back") == files(root)
    columns = TokenStore.open(address, cache_dir=tmp_path / "cache", tokens=False)
    assert list(columns.values("topic")) == ["unknown", "sport"]
    split = TokenStore.open(address, cache_dir=tmp_path / "cache").split("train")
    assert [dict(split.record(i).extra) for i in range(4)] == [
        {"topic": "sport"}, {"topics": "a, b"}, {}, {"author": "é"}
    ]  # fmt: skip
