"""Paths, patterns and folders: which files are read, in which order, and what is refused."""

import errno
import glob
import os
import socket

import pytest

from data_prep.config import Limits, Source
from data_prep.read import list_files, list_inputs, open_reader
from data_prep.read.files import told_passed_over
from data_prep.read.places import LocalFolders
from geo_nemo.config import UserError
from tests.unit.data_prep.read.samples import bads, raws, read


def names(tmp_path, pattern="", **source):
    files = list_files(Source(path=str(tmp_path / pattern), **source))
    return [os.path.relpath(file.path, tmp_path) for file in files]


@pytest.fixture
def tree(tmp_path):
    read = "b.jsonl a.csv sub/c.parquet sub/deep/d.jsonl.gz part-0 e.warc.wet.gz f.tar.zst"
    passed_over = "README.md .hidden.jsonl _SUCCESS notes.txt.gz"
    for name in f"{read} {passed_over}".split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_folder_gives_the_files_of_known_formats_sorted(tree):
    assert names(tree) == [
        "a.csv", "b.jsonl", "e.warc.wet.gz", "f.tar.zst", "part-0", "sub/c.parquet",
        "sub/deep/d.jsonl.gz",
    ]  # fmt: skip
    assert names(tree, "sub", format="jsonl") == ["sub/c.parquet", "sub/deep/d.jsonl.gz"]


def test_records_whose_names_begin_with_an_underscore_are_told_and_can_be_named(tree):
    for name in ("_old.jsonl", "sub/_c.parquet", "_metadata", "_x.crc", "._a.csv"):
        (tree / name).write_bytes(b"x")
    passed_over: set[str] = set()
    files = list_inputs([Source(path=str(tree))], passed_over=passed_over)
    assert not any("/_" in file.path for file in files)
    assert told_passed_over(passed_over) == (
        "files of other endings, passed over: 1 .md, 1 .txt.gz; where they hold records, name "
        "them: input='FOLDER/*.md'; files whose names begin with _, passed over: 2; where they "
        "hold records, name them: input='FOLDER/_*'"
    )
    assert names(tree, "_*.jsonl") == ["_old.jsonl"]
    (tree / "only").mkdir()
    (tree / "only/_a.jsonl").write_bytes(b"x")
    with pytest.raises(UserError, match=r"holds no file of records; files whose names begin with"):
        names(tree, "only")


def test_patterns_match_in_a_folder_or_across_folders(tree):
    assert names(tree, "*.jsonl") == ["b.jsonl"]
    assert names(tree, "**/*.gz") == ["e.warc.wet.gz", "notes.txt.gz", "sub/deep/d.jsonl.gz"]
    assert names(tree, "s*") == ["sub/c.parquet", "sub/deep/d.jsonl.gz"]
    assert names(tree, "[ab].*") == ["a.csv", "b.jsonl"]


def test_a_file_whose_name_looks_like_a_pattern_is_taken_as_it_is(tmp_path):
    (tmp_path / "news[1].jsonl").write_bytes(b"{}")
    assert names(tmp_path, "news[1].jsonl") == ["news[1].jsonl"]


def test_size_and_version_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"12345")
    (file,) = list_files(Source(path=str(path)))
    assert (file.size, file.version) == (5, str(path.stat().st_mtime_ns))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none.jsonl", "no such file or folder"),
        ("none/*.jsonl", "no file matches"),
        ("empty", "holds no file of records"),
        ("a\0b", "NUL"),
        ("a.jsonl/b", "no such file"),
    ],
)
def test_nothing_to_read_is_a_user_error(tmp_path, pattern, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.jsonl").write_bytes(b"{}")
    with pytest.raises(UserError, match=message):
        names(tmp_path, pattern)


def test_the_same_file_twice_is_a_user_error(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"{}")
    (tmp_path / "soft.jsonl").symlink_to("a.jsonl")
    with pytest.raises(UserError, match=r"a.jsonl and .*soft.jsonl are the same file"):
        names(tmp_path)
    (tmp_path / "soft.jsonl").unlink()
    os.link(tmp_path / "a.jsonl", tmp_path / "hard.jsonl")
    with pytest.raises(UserError, match="are the same file"):
        names(tmp_path, "*.jsonl")
    source = Source(path=str(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match=r"a.jsonl is named twice"):
        list_inputs([source, source])


def test_what_prep_has_written_is_no_input(tmp_path):
    out = tmp_path / "out"
    for name in ("news.jsonl", "out/own.jsonl", "out/work/ingest/drops.jsonl", "out/corpus/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")

    def found(path):
        files = list_inputs([Source(path=str(tmp_path / path))], str(out))
        return [os.path.relpath(file.path, tmp_path) for file in files]

    assert found(".") == found("**/*.jsonl") == ["news.jsonl", "out/own.jsonl"]
    (tmp_path / "link").symlink_to(out)
    for path in ("out/corpus", "link/work", "out/work/*/*.jsonl"):
        with pytest.raises(UserError, match=r"holds nothing but what geo-nemo prep wrote into "):
            found(path)


def test_a_link_to_a_folder_above_does_not_go_round(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jsonl").write_bytes(b"{}")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    assert names(tmp_path) == ["sub/a.jsonl"]


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UserError, match=r"pipe.jsonl is a pipe"):
        names(tmp_path, "pipe.jsonl")
    with pytest.raises(UserError, match=r"pipe.jsonl is a pipe"):
        names(tmp_path)
    with pytest.raises(UserError, match="/dev/zero is a device"):
        list_files(Source(path="/dev/zero"))
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"gone.jsonl is a link to nothing"):
        names(tmp_path, "gone.*")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(UserError, match="is a socket"):
            names(tmp_path, "s")


def test_a_file_replaced_by_a_pipe_or_a_folder_is_refused_and_does_not_wait(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}")
    (file,) = list_files(Source(path=str(path)))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="is a pipe"):
        list(open_reader(file, Limits()))
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="is a folder"):
        list(open_reader(file, Limits()))


def test_a_file_name_that_is_no_utf_8_is_refused_in_a_printable_line(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9\n.jsonl")).write_bytes(b"{}")
    with pytest.raises(UserError, match="the file's name is no UTF-8") as error:
        names(tmp_path)
    assert str(error.value).isprintable()


def test_a_file_that_may_not_be_read_is_a_user_error(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}")

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    # Root, which tests may run as, can read whatever its mode says.
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match=r"cannot read .*a.jsonl: Permission denied$"):
        read(path)


def test_a_file_that_may_not_be_read_is_known_before_the_run(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_bytes(b"{}")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)
    mend = r"a.jsonl: Permission denied: chmod u\+r it, or .* narrow the pattern$"
    with pytest.raises(UserError, match=mend):
        names(tmp_path)


def test_an_error_of_the_disk_is_a_user_error_and_no_damage():
    # A regular file that fails when it is read.
    with pytest.raises(UserError, match=r"cannot read /proc/self/mem: Input/output error"):
        read("/proc/self/mem")


LINE = b'{"text": "' + b"x" * 1000 + b'"}\n'


def start(path):
    """A reader that has given its first record of many, and reads on."""
    path.write_bytes(LINE * 2000)
    (file,) = list_files(Source(path=str(path)))
    found = iter(open_reader(file, Limits()))
    next(found)
    return found


def grow(path):
    with path.open("ab") as file:
        file.write(LINE)


def cut(path):
    os.truncate(path, 1_000_000)


def replace(path):
    other = path.with_name("other")
    other.write_bytes(LINE * 2000)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)


def rewrite(path):
    path.write_bytes(LINE.replace(b"x", b"y") * 2000)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("change", [grow, cut, replace, rewrite])
def test_a_file_that_changes_while_it_is_read_is_a_user_error(tmp_path, change):
    path = tmp_path / "a.jsonl"
    found = start(path)
    change(path)
    with pytest.raises(UserError, match=r"a.jsonl changed while it was read"):
        list(found)


def test_a_file_that_vanishes_while_it_is_read_is_a_user_error(tmp_path):
    path = tmp_path / "a.jsonl"
    found = start(path)
    path.unlink()
    with pytest.raises(UserError, match=r"cannot read .*a.jsonl: No such file"):
        list(found)


@pytest.mark.parametrize("change", [grow, rewrite, os.unlink])
def test_a_file_that_changed_since_it_was_listed_is_a_user_error(tmp_path, change):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINE)
    (file,) = list_files(Source(path=str(path)))
    change(path)
    with pytest.raises(UserError, match=r"changed since it was listed|No such file"):
        list(open_reader(file, Limits()))


def test_an_empty_file_is_one_reason(tmp_path):
    for name in ("a.jsonl", "a.parquet", "a.tar", "a.csv", "a.arrow", "a.warc", "a"):
        (tmp_path / name).write_bytes(b"")
        found, reader = read(tmp_path / name)
        assert (raws(found), bads(found), reader.bytes_read) == ([], [(0, "empty_file")], 0)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("hf://datasets/a/b", "hf download"),
        ("gs://bucket/a.jsonl", "gcloud storage cp"),
        ("az://container/a.jsonl", "azcopy"),
        ("https://a.example/a.jsonl.gz", "curl --remote-name"),
        ("s3a://bucket/a", "write s3://"),
        ("file:///data/a.jsonl", "without file://"),
        ("dbfs://a", "copy it here, or to s3://"),
    ],
)
def test_an_address_of_other_storage_is_named_with_what_to_do(address, words):
    with pytest.raises(UserError, match="is not read") as error:
        list_files(Source(path=address))
    assert words in str(error.value)


def test_a_folder_that_a_pattern_reaches_and_nobody_can_list_is_an_error(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jsonl").write_text("{}")
    scandir = os.scandir

    def failing(path):
        if str(path).rstrip("/").endswith("/b"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    for pattern in ("*/*.jsonl", "**/*.jsonl"):
        with pytest.raises(UserError, match=r"cannot read .*/b/: Input/output error"):
            list_files(Source(path=f"{tmp_path}/{pattern}"))


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.jsonl", "*/*.jsonl", "**/*.jsonl", "a/**/*.jsonl", "**/b/*", ".*", "a/.*", "a/?.jsonl",
     "a//[xy]*", "*/", "no/*", "a/b/*/e.jsonl", "a/x.jsonl/*"],
)  # fmt: skip
def test_patterns_match_what_those_of_the_shell_do(tmp_path, pattern):
    for name in (
        "x.jsonl",
        ".h.jsonl",
        "a/x.jsonl",
        "a/.h/q.jsonl",
        "a/b/y.jsonl",
        "a/b/c/e.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "a/gone.jsonl").symlink_to("nowhere")
    found = {entry.path for entry in LocalFolders().matches(f"{tmp_path}/{pattern}")}
    assert found == set(glob.glob(f"{tmp_path}/{pattern}", recursive=True))
