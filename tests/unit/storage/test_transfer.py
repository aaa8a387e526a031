"""Files to and from a bucket: whole, by ranges, checked, tried again, and errors in one line."""

import hashlib
import os
import threading

import pytest

from geo_nemo.config import UserError
from geo_nemo.storage import folder as folder_module
from geo_nemo.storage import transfer
from geo_nemo.storage.folder import RemoteError, RemoteFolder, Stopped, retried
from geo_nemo.storage.transfer import Damaged, Item, download, missing_bytes, upload
from tests.support.buckets import KEY, SECRET

SIZES = {"empty": 0, "one": 1, "range": 1000, "longer": 1001, "a/b/many": 25_999}


def item(name: str, content: bytes) -> Item:
    return Item(name, len(content), hashlib.sha256(content).hexdigest(), hashlib.sha256)


@pytest.fixture
def contents() -> dict[str, bytes]:
    return {name: os.urandom(size) for name, size in SIZES.items()}


@pytest.fixture(autouse=True)
def small_ranges_and_no_waits(monkeypatch):
    monkeypatch.setattr(transfer, "RANGE_BYTES", 1000)
    monkeypatch.setattr(folder_module, "WAITS_S", (0.0, 0.0))


def items(contents) -> list[Item]:
    return [item(name, content) for name, content in contents.items()]


def write(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_what_goes_up_comes_down(bucket, contents, tmp_path):
    write(tmp_path / "here", contents)
    remote = RemoteFolder(bucket.address("some/folder"))
    upload(tmp_path / "here", remote, items(contents))
    assert {name: bucket.get(f"some/folder/{name}") for name in contents} == contents
    assert remote.sizes() == SIZES
    told = []
    download(remote, tmp_path / "there", items(contents), lambda *a: told.append(a[1:3]))
    found = {p.relative_to(tmp_path / "there").as_posix(): p.read_bytes()
             for p in (tmp_path / "there").rglob("*") if p.is_file()}  # fmt: skip
    assert found == contents
    assert told[-1] == (sum(SIZES.values()),) * 2


def test_a_file_that_has_its_name_is_not_fetched_again(bucket, contents, tmp_path):
    write(tmp_path, {"a/b/many": contents["a/b/many"]})
    for name in ("empty", "one", "range", "longer"):
        bucket.put(f"f/{name}", contents[name])  # the other is not there at all
    assert missing_bytes(tmp_path, items(contents)) == 2002
    download(RemoteFolder(bucket.address("f")), tmp_path, items(contents))
    assert (tmp_path / "longer").read_bytes() == contents["longer"]


@pytest.mark.parametrize("damage", ["content", "size"])
def test_another_object_than_was_written_gets_no_name(bucket, contents, tmp_path, damage):
    for name, content in contents.items():
        bucket.put(f"f/{name}", content)
    if damage == "content":
        bucket.damage("f/a/b/many")
    else:
        bucket.put("f/a/b/many", contents["a/b/many"][:-1])
    with pytest.raises(Damaged, match=r"^s3://news/f/a/b/many has ") as error:
        download(RemoteFolder(bucket.address("f")), tmp_path, items(contents))
    assert error.value.name == "a/b/many"
    assert not (tmp_path / "a" / "b" / "many").exists()
    assert not list(tmp_path.rglob("*.partial"))


def test_a_local_file_that_was_changed_is_not_there_in_full(bucket, contents, tmp_path):
    write(tmp_path, contents)
    (tmp_path / "a" / "b" / "many").write_bytes(bytes(SIZES["a/b/many"]))
    with pytest.raises(Damaged, match="was changed since it was written"):
        upload(tmp_path, RemoteFolder(bucket.address("f")), items(contents))
    sizes = RemoteFolder(bucket.address("f")).sizes()
    assert sizes.get("a/b/many", 0) < SIZES["a/b/many"]


class Failing:
    """The client, some of whose calls fail first; failures: by name of the method."""

    def __init__(self, system, failures: dict[str, int], error: str):
        self.system, self.failures, self.error = system, failures, error

    def __getattr__(self, name):
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            raise OSError(f"When x: AWS Error {self.error} during y: {SECRET}")
        return getattr(self.system, name)


@pytest.mark.parametrize("calls", ["open_input_file", "open_output_stream"])
def test_what_fails_for_a_while_is_tried_again(bucket, contents, tmp_path, monkeypatch, calls):
    write(tmp_path, contents)
    failing = Failing(folder_module.connect("news"), {calls: 2}, "NETWORK_CONNECTION")
    monkeypatch.setattr(folder_module, "connect", lambda name: failing)
    remote = RemoteFolder(bucket.address("f"))
    told = []
    upload(tmp_path, remote, items(contents))
    download(remote, tmp_path / "x", items(contents), lambda *a: told.append(a[1]))
    assert (tmp_path / "x" / "longer").read_bytes() == contents["longer"]
    assert failing.failures == {calls: 0}
    assert told[-1] == sum(SIZES.values())


@pytest.mark.parametrize(
    ("error", "tries", "message"),
    [
        ("NETWORK_CONNECTION", 3, "cannot read s3://news/f/x: no connection to the server"),
        ("SLOW_DOWN", 3, "cannot read s3://news/f/x: the server answered SLOW_DOWN"),
        ("ACCESS_DENIED", 1, "cannot read s3://news/f/x: access denied: check the AWS cred"),
    ],
)
def test_how_often_it_is_tried_and_what_is_said(bucket, monkeypatch, error, tries, message):
    failing = Failing(None, {"open_input_stream": 9}, error)
    monkeypatch.setattr(folder_module, "connect", lambda name: failing)
    with pytest.raises(RemoteError, match=message) as raised:
        retried(lambda: RemoteFolder(bucket.address("f")).read("x"))
    assert failing.failures == {"open_input_stream": 9 - tries}
    assert SECRET not in str(raised.value) and KEY not in str(raised.value)


def test_a_stop_ends_a_transfer(bucket, contents, tmp_path):
    write(tmp_path, contents)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        upload(tmp_path, RemoteFolder(bucket.address("f")), items(contents), stop=stop)
    with pytest.raises(Stopped):
        retried(lambda: 1, stop)


def test_a_bucket_that_is_not_there_is_a_line(bucket, contents, tmp_path):
    remote = RemoteFolder("s3://nobodys-bucket/f")
    write(tmp_path, contents)
    with pytest.raises(RemoteError, match="cannot read s3://nobodys-bucket/f: no such bucket"):
        remote.read("x")
    with pytest.raises(RemoteError, match="cannot write s3://nobodys-bucket/f/one: no such"):
        upload(tmp_path, remote, [item("one", contents["one"])])
    with pytest.raises(RemoteError, match="cannot read s3://nobodys-bucket/f/one: no such"):
        download(remote, tmp_path / "x", [item("one", contents["one"])])


def test_a_full_disk_is_a_line(bucket, contents, tmp_path, monkeypatch):
    bucket.put("f/one", contents["one"])
    # Every write to this device fails for want of space.
    os.symlink("/dev/full", tmp_path / "one.partial")
    with pytest.raises(UserError, match=r"cannot write .*/one: No space left on device"):
        download(RemoteFolder(bucket.address("f")), tmp_path, [item("one", contents["one"])])


def test_small_objects_and_their_removal(bucket):
    remote = RemoteFolder(bucket.address("f"))
    assert (remote.read("x"), remote.sizes()) == (None, {})
    remote.delete("x")
    remote.sub("none").delete_all()
    remote.write("x.gz", b"1")
    remote.write("x.gz", b"22")
    remote.sub("y").write("z", b"")
    assert remote.read("x.gz") == b"22"
    assert remote.sizes() == {"x.gz": 2, "y/z": 0}
    remote.sub("y").delete_all()
    remote.delete("x.gz")
    assert remote.sizes() == {}
