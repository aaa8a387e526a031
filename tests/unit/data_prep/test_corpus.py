"""The corpus stage: every bad record is set aside with its line, and the good ones go on."""

import gzip
import json

import pytest
import zstandard

from data_prep.narrow_config import Prep, Splits
from data_prep.corpus import build_corpus
from data_prep.corpus_files import read_lines
from geo_nemo.config import UserError
from tests.unit.data_prep.worlds import record, records, write_jsonl


def build(tmp_path, *inputs, **config):
    folder = tmp_path / "corpus"
    folder.mkdir()
    prep = Prep(input=[str(path) for path in inputs], output="unused", **config)
    return folder, build_corpus(prep, folder)


def quarantine(folder):
    entries = [json.loads(line) for line in (folder / "quarantine.jsonl").open()]
    return [(e["reason"], e["file"].rsplit("/", 1)[-1], e["line"]) for e in entries]


def documents(folder, summary):
    return {
        name: [
            json.loads(x) for f in split.files for b in read_lines(folder / f.name, 100) for x in b
        ]
        for name, split in summary.splits.items()
    }


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
    folder, summary = build(
        tmp_path, write_jsonl(tmp_path / "a.jsonl.gz", rows), max_line_bytes=4000
    )
    assert quarantine(folder) == [
        (reason, "a.jsonl.gz", line)
        for reason, line in [
            ("broken_json", 2),
            ("wrong_type", 3),
            ("missing_text", 4),
            ("empty_text", 5),
            ("invalid_url", 6),
            ("unknown_country", 7),
            ("line_too_long", 8),
            ("invalid_utf8", 9),
            ("refused_url_scheme", 13),
            ("country_disagrees", 14),
            ("continent_disagrees", 15),
            ("no_country", 16),
            ("duplicate_id", 11),
            ("duplicate_content", 12),
        ]
    ]
    assert summary.read == 16  # the blank line is no record
    assert sum(split.documents for split in summary.splits.values()) == 2
    kept = [d["id"] for rows in documents(folder, summary).values() for d in rows]
    assert sorted(kept) == ["doc-1", "doc-14"]


def test_files_that_are_empty_or_cut_do_not_stop_the_others(tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    cut = write_jsonl(tmp_path / "cut.jsonl.gz", records(300))
    cut.write_bytes(cut.read_bytes()[:-200])
    good = write_jsonl(tmp_path / "good.jsonl", [record(1000)])
    folder, summary = build(tmp_path, tmp_path / "empty.jsonl", cut, good)
    (empty, truncated) = quarantine(folder)
    assert empty == ("empty_file", "empty.jsonl", 0)
    assert truncated[:2] == ("truncated_file", "cut.jsonl.gz")
    kept = truncated[2] - 1
    assert 100 < kept < 300
    assert sum(split.documents for split in summary.splits.values()) == kept + 1


def test_every_country_has_test_documents_and_no_content_is_in_two_splits(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", records(300))
    folder, summary = build(tmp_path, path)
    found = documents(folder, summary)
    hashes = [d["hash"] for rows in found.values() for d in rows]
    assert len(hashes) == len(set(hashes)) == 300
    assert {d["country"] for d in found["test"]} == {"gb", "ke", "us"}
    assert summary.splits["test"].by_country.keys() == {"gb", "ke", "us"}
    assert summary.countries == {"gb": "Europe", "ke": "Africa", "us": "America"}


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
    splits = Splits(train=0.4, validation=0.3, test=0.3)
    folder, summary = build(tmp_path, write_jsonl(tmp_path / "a.jsonl", rows), splits=splits)
    texts = {
        name: [document["text"] for document in found]
        for name, found in documents(folder, summary).items()
    }
    assert all(texts.values())
    kept = [text for found in texts.values() for text in found]
    assert len(kept) == 50
    assert set(kept) == {record(i)["text"] for i in range(50)}
    assert summary.quarantine == {"duplicate_content": 150}


def test_split_of_a_content_does_not_depend_on_the_order_of_the_input(tmp_path):
    rows = records(200)
    places = []
    for name, ordered in (("a", rows), ("b", rows[::-1])):
        (tmp_path / name).mkdir()
        path = write_jsonl(tmp_path / name / "in.jsonl", ordered)
        folder, summary = build(tmp_path / name, path)
        found = documents(folder, summary)
        places.append({d["id"]: split for split, docs in found.items() for d in docs})
    assert places[0] == places[1]


def test_files_of_a_split_hold_at_most_shard_documents(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", records(25))
    splits = Splits(train=1, validation=0, test=0)
    folder, summary = build(tmp_path, path, shard_documents=10, splits=splits)
    assert [(f.name, f.documents) for f in summary.splits["train"].files] == [
        ("train-00000.jsonl.zst", 10),
        ("train-00001.jsonl.zst", 10),
        ("train-00002.jsonl.zst", 5),
    ]
    assert [d["id"] for d in documents(folder, summary)["train"]] == [f"doc-{i}" for i in range(25)]
    assert {p.name for p in folder.iterdir()} == {
        "corpus.json", "quarantine.jsonl", *(f.name for f in summary.splits["train"].files),
    }  # fmt: skip


def test_the_same_corpus_whatever_the_compression(tmp_path):
    plain = write_jsonl(tmp_path / "a.jsonl", records(40))
    data = plain.read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(data))
    found = []
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"):
        (tmp_path / name[2:]).mkdir()
        folder, summary = build(tmp_path / name[2:], tmp_path / name)
        found.append(documents(folder, summary))
    assert found[0] == found[1] == found[2]


def test_a_listed_country_without_documents_is_a_user_error(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [record(i) for i in range(5)])
    with pytest.raises(UserError, match="no document from us"):
        build(tmp_path, path, countries=["gb", "us"])


def test_no_usable_record_is_a_user_error_that_says_why(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [b"{", record(1, country="zz"), b"{"])
    with pytest.raises(UserError, match=r"no usable record .*broken_json 2, unknown_country 1"):
        build(tmp_path, path)
