"""Shards of a corpus and the package webdataset: it reads ours, also as several nodes of several
workers, and what it writes is read as a corpus's input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.config import Limits, Source
from data_prep.read import Raw, list_files, open_reader
from tests.unit.data_prep.corpus_out.test_corpus import corpus_of, expected, run

webdataset = pytest.importorskip("webdataset", reason="it came with the pins of November 2026")
ROOT = Path(__file__).parents[4]
READ = """
import json, sys
import webdataset
from torch.utils.data import DataLoader
if __name__ == "__main__":
    samples = webdataset.WebDataset(
        sys.argv[1:], shardshuffle=False, empty_check=False,
        nodesplitter=webdataset.split_by_node, workersplitter=webdataset.split_by_worker,
    ).decode()
    for sample in DataLoader(samples, batch_size=None, num_workers=2):
        print(json.dumps([sample["__key__"], sample["txt"], sample["json"]["host"]]))
"""


def test_two_nodes_of_two_workers_read_each_document_of_a_corpus_once(tmp_path, monkeypatch):
    corpus = corpus_of(tmp_path / "c", monkeypatch, number=400, corpus="webdataset")
    shards = [str(path) for path in sorted(run(corpus).glob("train-*.tar"))]
    (tmp_path / "read.py").write_text(READ)
    nodes = []
    for rank in range(2):
        done = subprocess.run(
            [sys.executable, str(tmp_path / "read.py"), *shards],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        nodes.append([json.loads(line) for line in done.stdout.splitlines()])
    assert min(map(len, nodes)) > 50
    found = sorted(nodes[0] + nodes[1])
    keys = [key for key, _, _ in found]
    assert len(set(keys)) == len(keys)
    wanted = [(document["text"], document["host"]) for document in expected(corpus, "train")]
    assert [(text, host) for _, text, host in found] == wanted


def test_what_the_package_writes_is_read_each_record_once(tmp_path):
    records = [
        {"id": f"{n}", "text": f"Text {n}.\né 🌍", "url": f"http://a/{n}"} for n in range(50)
    ]
    pattern = str(tmp_path / "in-%03d.tar")
    with webdataset.ShardWriter(pattern, maxcount=7, verbose=0) as writer:
        for record in records:
            known = {name: record[name] for name in ("id", "url")}
            writer.write({"__key__": f"{record['id']:>06}", "json": known, "txt": record["text"]})
    read = []
    for file in list_files(Source(path=str(tmp_path / "in-*.tar"))):
        for each in open_reader(file, Limits()):
            assert isinstance(each, Raw), each
            read.append({name: each.fields[name] for name in ("id", "text", "url")})
    assert sorted(read, key=lambda r: int(r["id"])) == records
