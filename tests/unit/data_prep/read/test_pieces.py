"""One large file in pieces: together they give the records of the whole, each once, in order."""

import gzip
import itertools
import random
from collections import Counter

import pyarrow as pa
import pytest

from data_prep.config import Limits, Prep, Source
from data_prep.graph import run_prep
from data_prep.ingest import Ingest
from data_prep.read import list_files, open_reader, pieces
from data_prep.read.record import InputFile
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.worlds import records, write_jsonl

RECORDS = [r | {"id": f"{i}-{r['id']}"} for i in range(40) for r in samples.RECORDS]


def content(name: str) -> bytes:
    if name == "a.jsonl":
        odd = [b"\n\n", b'{"id": "x", "text": "caf\xc3\xa9"}\r\n', b"{broken\n"]
        lines = samples.jsonl(RECORDS).splitlines(keepends=True)
        for at in range(0, len(lines), 37):
            lines.insert(at, odd[at % 3])
        return b"".join(lines).rstrip(b"\n")
    if name == "a.parquet":
        return samples.parquet(pa.Table.from_pylist(RECORDS), row_group_size=11)
    found = [
        samples.wet_records(60),
        [b"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: 4\r\n\r\nabcd\r\n\r\n"],
    ]
    together = [record for each in found for record in each]
    return b"".join(map(gzip.compress, together)) if name.endswith("gz") else b"".join(together)


def read(files: list[InputFile]):
    found = []
    for file in files:
        reader = open_reader(file, Limits())
        found.append([(getattr(r, "fields", None) or r.reason) for r in reader])
        assert reader.bytes_read >= 0 and len(reader.digest) == 32
    return found


NAMES = ["a.jsonl", "a.parquet", "a.wet", "a.wet.gz"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [2, 3, 7, 60])
def test_pieces_give_each_record_once_and_in_order(tmp_path, name, number):
    path = tmp_path / name
    path.write_bytes(content(name))
    (whole,) = list_files(Source(path=str(path)))
    cut = pieces(whole, -(-whole.size // number))
    assert len(cut) > 1 and {piece.piece[1] for piece in cut} >= {0}
    (expected,) = read([whole])
    found = read(cut)
    assert [record for piece in found for record in piece] == expected
    if number < 8 and name != "a.parquet":  # most of this small file is its footer
        assert sum(bool(piece) for piece in found) == len(cut)


def test_any_place_is_a_border(tmp_path):
    """Places drawn at random, some within a line end, a header or a member's first bytes."""
    draw = random.Random(5)
    for name in NAMES:
        path = tmp_path / name
        path.write_bytes(content(name))
        (whole,) = list_files(Source(path=str(path)))
        kind = pieces(whole, whole.size // 2)[0].piece[0]
        (expected,) = read([whole])
        for _ in range(12):
            places = sorted(draw.sample(range(1, whole.size), draw.randint(1, 9)))
            ends = [0, *places, whole.size]
            cut = [
                InputFile(whole.path, whole.size, whole.version, whole.source, (kind, a, b))
                for a, b in itertools.pairwise(ends)
            ]
            assert [r for piece in read(cut) for r in piece] == expected, (name, places)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", samples.comma(RECORDS)),
        ("a.jsonl.gz", gzip.compress(samples.jsonl(RECORDS), 0)),
        ("a.warc.gz", gzip.compress(samples.warc(3) * 20, 0)),
        ("a.json", b"[" + b",\n".join(samples.jsonl(RECORDS).splitlines()) + b"]"),
        ("a.jsonl", samples.jsonl(RECORDS).decode().encode("utf-16")),
        ("a.tar", samples.webdataset()),
    ],
)
def test_what_cannot_be_cut_stays_whole(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    (file,) = list_files(Source(path=str(tmp_path / name)))
    assert pieces(file, 1000) == [file]


def test_a_small_file_stays_whole(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(samples.jsonl())
    (file,) = list_files(Source(path=str(tmp_path / "a.jsonl")))
    assert pieces(file, file.size) == [file]


def test_one_file_has_all_workers_and_gives_the_same_documents(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", records(300))

    def prepared(output, **limits):
        config = Prep.model_validate(
            {"input": str(tmp_path / "in.jsonl"), "output": str(tmp_path / output),
             "tokenizer": {"vocab_size": 400}, "execution": {"workers": 1},
             "limits": limits}
        )  # fmt: skip
        run_prep(config)
        from data_prep.corpus_out import read_corpus

        found = {
            split: [d["id"] for d in read_corpus(tmp_path / output / "corpus", split)]
            for split in ("train", "validation", "test")
        }
        return len(Ingest(config).tasks()), found

    tasks, whole = prepared("whole")
    many, cut = prepared("cut", task_bytes=9000)
    assert tasks == 1 and many > 5
    assert cut == whole


def test_what_is_read_does_not_depend_on_what_a_piece_begins_with(tmp_path):
    sound = [b'{"url": "https://a.ke/%d", "text": "Rain \xc3\xa9 %d"}' % (n, n) for n in range(400)]
    odd = [b"oops", b'[{"text": 1}]', b'{"text": "caf\xe9"}', b"", b"null"] * 60
    path = tmp_path / "part-0"
    path.write_bytes(b"\n".join([*sound, *odd, *sound]))
    (file,) = list_files(Source(path=str(path)))

    def told(most):
        found = [item for piece in pieces(file, most) for item in open_reader(piece, Limits())]
        return Counter(getattr(item, "reason", "a record") for item in found)

    whole = told(1 << 30)
    assert whole["a record"] == 860 and len(whole) > 2  # those in lists, too
    for most in range(9000, 20_000, 1111):
        assert told(most) == whole
