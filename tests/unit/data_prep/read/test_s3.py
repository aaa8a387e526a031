"""`s3://` against a server on this machine: listing, reading, change, errors without secrets."""

import os

import pytest
import xxhash

from data_prep.config import Limits, Source
from data_prep.read import borders, list_files, open_reader, pieces, s3, s3_ranges
from geo_nemo.config import UserError
from tests.support.buckets import KEY, SECRET
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.read.samples import RECORDS, raws
from tests.unit.data_prep.read.test_pieces import content

LINE = b'{"text": "' + b"x" * 1000 + b'"}\n'


@pytest.fixture
def put(bucket):
    return bucket.put


def records(path, **source):
    files = list_files(Source(path=path, **source))
    return [fields for file in files for fields in raws(open_reader(file, Limits()))]


def paths(path):
    return [file.path.removeprefix("s3://news/") for file in list_files(Source(path=path))]


@pytest.mark.parametrize("name", samples.every_format())
def test_every_format_is_read_from_a_bucket(put, name):
    data = samples.every_format()[name]
    put(f"in/{name}", data)
    (file,) = list_files(Source(path=f"s3://news/in/{name}"))
    reader = open_reader(file, Limits())
    found = raws(reader)
    assert found == RECORDS if "warc" not in name else len(found) > 2
    assert reader.bytes_read == file.size == len(data)
    assert reader.digest == xxhash.xxh3_128_hexdigest(data)


def test_large_objects_come_in_many_requests(put, monkeypatch):
    monkeypatch.setattr(s3, "READ_BYTES", 100_000)
    put("a.jsonl", LINE * 900)
    assert records("s3://news/a.jsonl") == [{"text": "x" * 1000}] * 900
    table = samples.pa.table({"text": [os.urandom(500).hex() for _ in range(900)]})
    put("a.parquet", samples.parquet(table, row_group_size=100))
    assert [r["text"] for r in records("s3://news/a.parquet")] == table["text"].to_pylist()


def test_folders_and_patterns(put):
    for key in ("a/1.jsonl", "a/2.csv", "a/b/3.jsonl.gz", "a/README.md", "a/_SUCCESS", "c/4.jsonl"):
        put(key, b"x")
    assert (
        paths("s3://news/a") == paths("s3://news/a/") == ["a/1.jsonl", "a/2.csv", "a/b/3.jsonl.gz"]
    )
    assert paths("s3://news/a/*.jsonl") == ["a/1.jsonl"]
    assert paths("s3://news/**/*.jsonl*") == ["a/1.jsonl", "a/b/3.jsonl.gz", "c/4.jsonl"]
    assert paths("s3://news/[ac]/?.jsonl") == ["a/1.jsonl", "c/4.jsonl"]
    assert paths("s3://news/*/[!1]*.jsonl") == ["c/4.jsonl"]
    assert len(paths("s3://news")) == 4


def test_a_saved_dataset_in_a_bucket(put):
    put("d/data-00000-of-00001.arrow", samples.arrow())
    put("d/state.json", b'{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    put("d/dataset_info.json", b"{}")
    assert records("s3://news/d", format="dataset") == RECORDS


@pytest.mark.parametrize("size", [2000, 1999, 2001, 10])
def test_an_object_that_is_replaced_while_it_is_read_is_a_user_error(put, monkeypatch, size):
    monkeypatch.setattr(s3, "READ_BYTES", 100_000)
    put("a.jsonl", LINE * 2000)
    (file,) = list_files(Source(path="s3://news/a.jsonl"))
    found = iter(open_reader(file, Limits()))
    next(found)
    put("a.jsonl", LINE.replace(b"x", b"y") * size)
    with pytest.raises(UserError, match=r"s3://news/a.jsonl changed while it was read"):
        list(found)


def test_an_object_that_changed_since_it_was_listed_is_a_user_error(put):
    put("a.jsonl", LINE)
    (file,) = list_files(Source(path="s3://news/a.jsonl"))
    put("a.jsonl", LINE * 2)
    with pytest.raises(UserError, match="changed since it was listed"):
        list(open_reader(file, Limits()))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("s3://news/none.jsonl", "no such file or folder"),
        ("s3://news/none/*.jsonl", "no file matches"),
        ("s3://other-bucket/a.jsonl", "no such file"),
        ("s3://", "name one bucket"),
        ("s3://*/a", "name one bucket"),
        ("s3://AKIAEXAMPLEKEY:example@news/a", "credentials belong in the environment"),
        ("s3://AKIAEXAMPLEKEY:half/example@news/a", "credentials belong in the environment"),
    ],
)
def test_what_is_not_there_is_a_user_error_without_secrets(put, path, message):
    put("a.jsonl", LINE)
    with pytest.raises(UserError, match=message) as error:
        records(path)
    assert KEY not in str(error.value) and "example" not in str(error.value)


def test_a_server_that_does_not_answer_is_a_user_error_soon(put, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="no connection to the server") as error:
        records("s3://news/a.jsonl")
    assert SECRET not in str(error.value) and KEY not in str(error.value)


def test_credentials_in_the_address_of_a_server_are_refused_unseen(put, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{SECRET}@127.0.0.1:9")
    with pytest.raises(UserError, match="without credentials") as error:
        records("s3://news/a.jsonl")
    assert SECRET not in str(error.value)


def test_a_disk_too_full_for_a_copy_is_a_user_error(put, monkeypatch):
    put("a.parquet", samples.parquet())
    # Every write to this device fails for want of space.
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(s3.tempfile, "TemporaryFile", lambda **_: full)
        with pytest.raises(UserError, match=r"No space left on device; set TMPDIR"):
            records("s3://news/a.parquet")


@pytest.mark.parametrize("name", ["a.jsonl", "a.wet", "a.wet.gz"])
@pytest.mark.parametrize("number", [2, 7])
def test_a_large_object_is_cut_where_records_begin(put, monkeypatch, name, number):
    monkeypatch.setattr(borders, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(s3, "READ_BYTES", 700)
    put(f"in/{name}", content(name))
    (whole,) = list_files(Source(path=f"s3://news/in/{name}"))
    cut = pieces(whole, -(-whole.size // number))
    assert len(cut) == number
    readers = [open_reader(piece, Limits()) for piece in [whole, *cut]]
    (expected, *found) = ([getattr(r, "fields", None) or r.reason for r in reader]
                          for reader in readers)  # fmt: skip
    assert [record for piece in found for record in piece] == expected and all(found)
    assert sum(reader.bytes_read for reader in readers[1:]) == whole.size


def test_a_piece_of_an_object_that_was_replaced_is_refused(put, monkeypatch):
    monkeypatch.setattr(s3, "READ_BYTES", 1000)
    put("a.jsonl", LINE * 90)
    (whole,) = list_files(Source(path="s3://news/a.jsonl"))
    (_, last) = pieces(whole, whole.size // 2)
    reader = iter(open_reader(last, Limits()))
    next(reader)
    put("a.jsonl", LINE.replace(b"x", b"y") * 90)
    with pytest.raises(UserError, match=r"s3://news/a.jsonl changed while it was read"):
        list(reader)


def test_what_is_not_there_any_more_stays_whole(put, bucket):
    put("gone.jsonl", LINE * 90)
    (whole,) = list_files(Source(path="s3://news/gone.jsonl"))
    bucket.delete("gone.jsonl")
    assert pieces(whole, whole.size // 3) == [whole]


def parquet() -> bytes:
    table = samples.pa.table({
        "url": [f"https://a.co.ke/{n}" for n in range(900)], "unused": ["x" * 5000] * 900,
        "text": [os.urandom(500).hex() for _ in range(900)],
    })  # fmt: skip
    return samples.parquet(table, row_group_size=50)


@pytest.mark.parametrize("number", [2, 7])
def test_parquet_is_cut_at_row_groups_which_are_fetched_by_range(put, monkeypatch, number):
    monkeypatch.setattr(s3_ranges, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(s3.tempfile, "TemporaryFile", None)  # no copy of a piece is made
    put("a.parquet", parquet())
    (whole,) = list_files(Source(path="s3://news/a.parquet"))
    cut = pieces(whole, -(-whole.size // number))
    readers = [open_reader(piece, Limits()) for piece in cut]
    found = [raws(reader) for reader in readers]
    assert len(cut) == number and all(found)
    urls = [record["url"] for piece in found for record in piece]
    assert urls == [f"https://a.co.ke/{n}" for n in range(900)]
    assert sum(reader.bytes_read for reader in readers) == whole.size
    assert len({reader.digest for reader in readers}) == number


def test_row_groups_of_an_object_that_was_replaced_are_refused(put, monkeypatch):
    monkeypatch.setattr(s3_ranges, "BLOCK_BYTES", 10_000)
    put("a.parquet", parquet())
    (whole,) = list_files(Source(path="s3://news/a.parquet"))
    first, *_ = pieces(whole, whole.size // 2)
    reader = iter(open_reader(first, Limits()))
    next(reader)
    put("a.parquet", parquet())
    with pytest.raises(UserError, match=r"s3://news/a.parquet changed while it was read"):
        list(reader)
