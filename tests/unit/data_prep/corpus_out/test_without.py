"""A corpus without some documents: the others as they were, in files that are listed."""

import tarfile

import numpy as np
import pytest

from data_prep.corpus_out import read_corpus
from data_prep.corpus_out.summary import read_summary
from data_prep.corpus_out.without import corpus_without
from geo_nemo.common.digests import file_digest
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.corpus_out.test_corpus import SPLITS, corpus_of, run


def short(document):
    return int.from_bytes(document["hash"][:8], "big")


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_the_others_stay_as_they_were(tmp_path, monkeypatch, format):
    folder = run(corpus_of(tmp_path, monkeypatch, corpus=format))
    before = {split: list(read_corpus(folder, split)) for split in SPLITS}
    # All of one file, some of another, none of the rest.
    listed = read_summary(folder).files
    first = before["train"][: next(iter(listed.values())).documents]
    gone = np.array([short(each) for each in (*first, *before["test"][1:3])], np.uint64)
    assert corpus_without(folder, tmp_path / "new", gone) == len(gone)
    wanted = set(gone.tolist())
    for split in SPLITS:
        stay = [each for each in before[split] if short(each) not in wanted]
        assert list(read_corpus(tmp_path / "new", split)) == stay
    summary = read_summary(tmp_path / "new")
    assert len(summary.files) == len(listed) - 1
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {*summary.files, "corpus.json"}
    for name, file in summary.files.items():
        path = tmp_path / "new" / name
        assert (file.bytes, file.xxh3_128) == (path.stat().st_size, file_digest(path))
        texts = [each["text"] for each in read_corpus(tmp_path / "new", file.split)]
        of_split = [f.text_bytes for f in summary.files.values() if f.split == file.split]
        assert sum(of_split) == sum(len(text.encode()) for text in texts)
    linked = [name for name in summary.files if (folder / name).samefile(tmp_path / "new" / name)]
    assert len(linked) == len(summary.files) - 1
    assert {split: list(read_corpus(folder, split)) for split in SPLITS} == before


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_a_file_that_is_cut_or_gone_is_said_and_no_corpus_is_made(tmp_path, monkeypatch, format):
    """A tar that ends between two members is read without an error."""
    folder = run(corpus_of(tmp_path, monkeypatch, corpus=format))
    name = next(iter(read_summary(folder).files))
    whole = (folder / name).read_bytes()
    sizes = [len(whole) // 2, 700, 5]
    if format == "webdataset":
        with tarfile.open(folder / name) as tar:
            sizes += [member.offset for member in tar.getmembers()[1:3]]
    for size in sizes:
        (folder / name).unlink()  # it has a second name in work/
        (folder / name).write_bytes(whole[:size])
        with pytest.raises(UserError) as error:
            corpus_without(folder, tmp_path / "new", np.empty(0, np.uint64))
        assert str(error.value).startswith(f"{folder / name} is damaged (")
        assert str(error.value).endswith("): delete it and prepare again")
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing: repeat geo-nemo prep run$"):
        corpus_without(folder, tmp_path / "new", np.empty(0, np.uint64))
    assert not list(tmp_path.glob("new*"))


def test_no_corpus_and_a_taken_name_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"corpus\.json"):
        corpus_without(tmp_path, tmp_path / "new", np.empty(0, np.uint64))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "new").mkdir()
    with pytest.raises(UserError, match="exists: remove it, or give another --corpus-out"):
        corpus_without(tmp_path, tmp_path / "new", np.empty(0, np.uint64))
