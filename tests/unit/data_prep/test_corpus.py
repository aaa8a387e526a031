"""From raw files to the corpus: each bad record is set aside with its line, the good ones go on."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from data_prep.config import Prep
from data_prep.corpus_out import read_corpus
from data_prep.graph import run_prep, stages
from tests.unit.data_prep.worlds import record, records, write_jsonl

SPLITS = ("train", "validation", "test")
STAGES_TO_THE_CORPUS = "drops"


def build(tmp_path, *inputs, **config):
    """The output folder of a run that ends before the tokenizer."""
    output = tmp_path / "out"
    settings = {"input": [str(path) for path in inputs], "output": str(output)}
    prep = Prep.model_validate({**settings, "execution": {"workers": 1}, **config})
    names = [stage.name for stage in stages(prep)]
    run_prep(prep, only=names[: names.index(STAGES_TO_THE_CORPUS) + 1])
    return output


def drops(output):
    """(reason, file, line) of the samples of what was dropped."""
    entries = [
        json.loads(line)
        for path in (output / "drops").glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return entries


def places(output):
    return sorted(
        (e["reason"], Path(e["file"]).name, e["number"]) for e in drops(output) if "file" in e
    )


def documents(output):
    return {split: list(read_corpus(output / "corpus", split)) for split in SPLITS}


def test_each_bad_record_has_its_reason_and_line(tmp_path):
    rows = [
        record(1),
        b"{broken",
        record(2, text=5),
        record(3, text=None),
        record(4, text=" "),
        record(5, url="/no/host"),
        record(6, country="zz"),
        b'{"id": "x", "text": "' + b"y" * 5000 + b'"}',
        json.dumps(record(7)).encode().replace(b"Report", b"Rep\xffrt"),
        b"",
        record(8, id="doc-1"),
        record(9, text=record(1)["text"]),
        record(10, url="javascript:alert(1)"),
        record(11, country="us"),
        record(12, continent="Asia"),
        record(13, url="https://startup.io/x", country=None),
        record(14),
    ]
    settings = {"limits": {"record_bytes": 4000}, "annotate": {"on_unknown_country": "drop"}}
    output = build(tmp_path, write_jsonl(tmp_path / "a.jsonl.gz", rows), **settings)
    assert places(output) == sorted(
        (reason, "a.jsonl.gz", line)
        for reason, line in [
            ("broken_json", 2),
            ("wrong_type", 3),
            ("missing_text", 4),
            ("empty_text", 5),
            ("invalid_url", 6),
            ("unknown_country", 7),
            ("record_too_long", 8),
            ("invalid_utf8", 9),
            ("refused_url_scheme", 13),
            ("country_disagrees", 14),
            ("continent_disagrees", 15),
            ("no_country", 16),
        ]
    )
    copies = sorted((e["reason"], e["id"]) for e in drops(output) if "file" not in e)
    assert copies == [("duplicate_content", "doc-9"), ("duplicate_id", "doc-1")]
    kept = [document["id"] for found in documents(output).values() for document in found]
    assert sorted(kept) == ["doc-1", "doc-14"]


def test_files_that_are_empty_or_cut_do_not_stop_the_others(tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    cut = write_jsonl(tmp_path / "cut.jsonl.gz", records(300))
    cut.write_bytes(cut.read_bytes()[:-200])
    good = write_jsonl(tmp_path / "good.jsonl", [record(1000)])
    output = build(tmp_path, tmp_path / "empty.jsonl", cut, good)
    (empty, truncated) = places(output)
    assert empty == ("empty_file", "empty.jsonl", 0)
    assert truncated[:2] == ("truncated_file", "cut.jsonl.gz")
    kept = truncated[2] - 1
    assert 100 < kept < 300
    assert sum(map(len, documents(output).values())) == kept + 1


def test_every_country_has_test_documents_and_no_content_is_in_two_splits(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", records(300))
    found = documents(build(tmp_path, path))
    hashes = [d["hash"] for rows in found.values() for d in rows]
    assert len(hashes) == len(set(hashes)) == 300
    assert {d["country"] for d in found["test"]} == {"gb", "ke", "us"}
    assert {(d["country"], d["continent"]) for d in found["train"]} == {
        ("gb", "Europe"), ("ke", "Africa"), ("us", "America"),
    }  # fmt: skip


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_text_under_several_titles_and_addresses_is_kept_once_in_one_split(tmp_path, with_ids):
    # Copies stand far apart and in other countries, as syndicated ones do.
    rows = [
        record(
            50 * copy + i,
            ("gb", "ke", "us")[(i + copy) % 3],
            text=record(i)["text"] + "\r\n" * copy,
            **({} if with_ids else {"id": None}),
        )
        for copy in range(4)
        for i in range(50)
    ]
    assert len({(row["title"], row["url"]) for row in rows}) == 200
    splits = {"train": 0.4, "validation": 0.3, "test": 0.3}
    output = build(tmp_path, write_jsonl(tmp_path / "a.jsonl", rows), splits=splits)
    texts = {
        name: [document["text"] for document in found] for name, found in documents(output).items()
    }
    assert all(texts.values())
    kept = [text for found in texts.values() for text in found]
    assert len(kept) == 50
    assert set(kept) == {record(i)["text"] for i in range(50)}
    counted = [e["reason"] for e in drops(output)]
    assert set(counted) == {"duplicate_content"} and len(counted) == 100  # of 150, a sample


def test_split_of_a_content_does_not_depend_on_the_order_of_the_input(tmp_path):
    rows = records(200)
    seen = []
    for name, ordered in (("a", rows), ("b", rows[::-1])):
        (tmp_path / name).mkdir()
        path = write_jsonl(tmp_path / name / "in.jsonl", ordered)
        found = documents(build(tmp_path / name, path))
        seen.append({d["id"]: split for split, docs in found.items() for d in docs})
    assert seen[0] == seen[1]


def test_the_same_corpus_whatever_the_compression(tmp_path):
    plain = write_jsonl(tmp_path / "a.jsonl", records(40))
    data = plain.read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(data))
    found = []
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"):
        (tmp_path / name[2:]).mkdir()
        found.append(documents(build(tmp_path / name[2:], tmp_path / name)))
    assert found[0] == found[1] == found[2]
