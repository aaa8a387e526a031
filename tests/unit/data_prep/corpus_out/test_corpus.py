"""The annotated corpus: what is in its files, and how they come into the output."""

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from data_prep.config import Limits, Source
from data_prep.corpus_out import CorpusStage, read_corpus
from data_prep.corpus_out.parquet_out import CORPUS_SCHEMA
from data_prep.engine import run_stage
from data_prep.final import final_outcomes
from data_prep.parts import NAMES
from data_prep.read import list_files, open_reader
from data_prep.splits import OUTCOMES, split_stages
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.splits.corpora import Corpus, document, make_corpus

SPLITS = ("train", "validation", "test")
HOSTILE = "</script> \u202eright to left\u202c \x7f tab\t é 中文 🌍"


def corpus_of(folder: Path, monkeypatch, number: int = 120, **settings) -> Corpus:
    documents = [
        document(i, ("gb", "ke")[i % 2], text=f"Report {i}.\n{HOSTILE}") for i in range(number)
    ]
    corpus = make_corpus(
        folder, documents, 40, splits={"train": 0.5, "validation": 0.2, "test": 0.3}, **settings
    )
    corpus.dropped = {5: ("near_duplicate", 2), 60: ("duplicate_content", 2)}
    corpus.clusters = {8: 2}
    corpus.hits = set(range(20, 30))
    corpus.install(monkeypatch)
    return corpus


def run(corpus: Corpus) -> Path:
    for stage in (*split_stages(), CorpusStage):
        run_stage(stage(corpus.config))
    return Path(corpus.config.output) / "corpus"


def expected(corpus: Corpus, split: str) -> list[dict]:
    """The documents of a split by the outcomes, with all that is known of them."""
    found = []
    for part in corpus.parts():
        outcome = final_outcomes(corpus.config, part)
        cluster = corpus.decisions(corpus.config, part).cluster
        for row in np.flatnonzero(outcome == OUTCOMES.index(split)):
            known = corpus.documents[part.start + row]
            fields = {name: getattr(known, name) for name in NAMES}
            found.append(fields | {"cluster": int(cluster[row])})
    return found


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_each_document_is_in_its_split_once_with_all_its_columns(tmp_path, monkeypatch, format):
    corpus = corpus_of(tmp_path, monkeypatch, corpus=format)
    folder = run(corpus)
    for split in SPLITS:
        assert list(read_corpus(folder, split)) == expected(corpus, split)
    assert sum(len(expected(corpus, split)) for split in SPLITS) < 118  # some were dropped


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_the_listing_tells_what_the_files_hold(tmp_path, monkeypatch, format):
    folder = run(corpus_of(tmp_path, monkeypatch, corpus=format))
    listing = json.loads((folder / "corpus.json").read_bytes())
    suffix = {"parquet": "parquet", "webdataset": "tar"}[format]
    assert listing["format"] == format
    assert list(listing["files"]) == [
        f"{split}-00000-{part:05d}.{suffix}" for split in SPLITS for part in range(3)
    ]
    for name, file in listing["files"].items():
        content = (folder / name).read_bytes()
        assert file["bytes"] == len(content)
        assert file["xxh3_128"] == xxhash.xxh3_128_hexdigest(content)
    for split in SPLITS:
        texts = [d["text"] for d in read_corpus(folder, split)]
        mine = [f for f in listing["files"].values() if f["split"] == split]
        assert sum(f["documents"] for f in mine) == len(texts)
        assert sum(f["text_bytes"] for f in mine) == sum(len(t.encode()) for t in texts)
    assert {p.name for p in folder.iterdir()} == {*listing["files"], "corpus.json", "stage.json"}


def test_parquet_has_the_parts_columns_and_the_cluster(tmp_path, monkeypatch):
    folder = run(corpus_of(tmp_path, monkeypatch))
    schema = pq.read_schema(folder / "train-00000-00000.parquet")
    assert schema.equals(CORPUS_SCHEMA)
    assert schema.names == [*NAMES, "cluster"]


def test_a_shard_is_a_plain_tar_with_unique_keys_and_no_trace_of_the_machine(tmp_path, monkeypatch):
    folder = run(corpus_of(tmp_path, monkeypatch, corpus="webdataset"))
    keys = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
        assert {m.mode for m in members} == {0o644}
        names = [member.name for member in members]
        assert [n.partition(".")[2] for n in names] == ["json", "txt"] * (len(names) // 2)
        keys += [name.partition(".")[0] for name in names[::2]]
        assert [name.partition(".")[0] for name in names[1::2]] == keys[-len(names) // 2 :]
    assert len(keys) == len(set(keys))


def test_the_webdataset_package_reads_a_shard(tmp_path, monkeypatch):
    webdataset = pytest.importorskip("webdataset")
    corpus = corpus_of(tmp_path, monkeypatch, corpus="webdataset")
    folder = run(corpus)
    shards = [str(path) for path in sorted(folder.glob("train-*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    wanted = expected(corpus, "train")
    assert [sample["txt"] for sample in samples] == [document["text"] for document in wanted]
    assert [s["json"]["cluster"] for s in samples] == [f"{d['cluster']:016x}" for d in wanted]
    assert [s["json"]["host"] for s in samples] == [d["host"] for d in wanted]


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_a_corpus_can_be_the_input_of_another_preparation(tmp_path, monkeypatch, format):
    corpus = corpus_of(tmp_path, monkeypatch, corpus=format)
    folder = run(corpus)
    found = []
    for file in list_files(Source(path=str(folder / "validation-*"))):
        found += [record.fields for record in open_reader(file, Limits())]
    for read, known in zip(found, expected(corpus, "validation"), strict=True):
        for name in ("id", "url", "country", "continent", "date", "title", "text"):
            assert read[name] == known[name]


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_the_same_documents_give_the_same_bytes(tmp_path, monkeypatch, format):
    found = []
    for name in ("a", "b"):
        folder = run(corpus_of(tmp_path / name, monkeypatch, corpus=format))
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert found[0] == found[1]


def test_published_files_are_second_names_and_outlive_the_work(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch)
    folder = run(corpus)
    file = folder / "train-00000-00000.parquet"
    work = CorpusStage(corpus.config).task_folder("00000-00000") / file.name
    assert os.path.samefile(file, work)
    work.unlink()
    assert pq.read_table(file).num_rows > 0


def test_what_stands_in_the_output_and_is_not_ours_is_never_replaced(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "mine.txt").write_text("years of work")
    with pytest.raises(UserError, match="was not made by geo-nemo prep"):
        run(corpus)
    assert (tmp_path / "corpus" / "mine.txt").read_text() == "years of work"


def test_a_file_that_was_lost_comes_back_and_a_whole_corpus_stays_as_it_is(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch)
    folder = run(corpus)
    inode = folder.stat().st_ino
    run(corpus)
    assert folder.stat().st_ino == inode
    (folder / "test-00000-00001.parquet").unlink()
    run(corpus)
    assert list(read_corpus(folder, "test")) == expected(corpus, "test")


def test_changed_outcomes_replace_the_corpus(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch)
    folder = run(corpus)
    before = list(read_corpus(folder, "train"))
    corpus.hits = set()
    run(corpus)
    after = list(read_corpus(folder, "train"))
    assert len(after) > len(before)
    assert after == expected(corpus, "train")


def test_none_writes_none_and_takes_an_earlier_corpus_back(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path, monkeypatch)
    folder = run(corpus)
    corpus.config = corpus.config.model_copy(update={"corpus": "none"})
    run(corpus)
    assert not folder.exists()


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    for format, name in (
        ("parquet", "train-00000-00000.parquet"),
        ("webdataset", "train-00000-00000.tar"),
    ):
        folder = run(corpus_of(tmp_path / format, monkeypatch, corpus=format))
        path = folder / name
        content = path.read_bytes()
        path.unlink()  # it shares its bytes with the work
        path.write_bytes(content[: len(content) // 2 + 100])
        with pytest.raises(UserError, match=f"{name} is damaged"):
            list(read_corpus(folder, "train"))


def test_small_splits_have_row_groups_of_more_than_one_batch(tmp_path):
    from data_prep.corpus_out.parquet_out import ParquetOut
    from data_prep.parts import SCHEMA

    table = pa.Table.from_pylist(
        [{n: getattr(document(i), n) for n in NAMES} for i in range(60)], schema=SCHEMA
    )
    out = ParquetOut(tmp_path / "x.parquet", "00000-00000")
    for batch in table.to_batches(max_chunksize=3):
        out.write(batch, np.zeros(len(batch), np.uint64), np.arange(len(batch)))
    out.close()
    with pq.ParquetFile(tmp_path / "x.parquet") as file:
        assert (file.num_row_groups, file.metadata.num_rows) == (1, 60)
