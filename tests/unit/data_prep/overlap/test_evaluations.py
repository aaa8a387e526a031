"""Evaluation files of every kind give their texts, or an error that says what to mend."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.overlap.evaluations import evaluation_files, read_texts
from geo_nemo.common.errors import UserError

FIELDS = ("question", "options")
EXPECTED = [(1, 0, "Who?"), (1, 1, "a, b"), (2, 0, "012")]


def texts(path, fields=FIELDS) -> list[tuple[int, int, str]]:
    return [(t.record, t.field, t.text) for t in read_texts(path, fields)]


def test_json_lines_plain_and_compressed(tmp_path):
    lines = b'{"question":"Who?","options":"a, b"}\n{"question":"012","options":null}\n'
    (tmp_path / "e.jsonl").write_bytes(lines)
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(lines))
    assert texts(tmp_path / "e.jsonl") == texts(tmp_path / "e.jsonl.gz") == EXPECTED


def test_json_lines_may_have_what_python_and_javascript_write(tmp_path):
    lines = b'{"id":NaN,"question":"Who\\ud83d?","options":"a\tb"}\n'
    (tmp_path / "e.jsonl").write_bytes(lines)
    assert texts(tmp_path / "e.jsonl") == [(1, 0, "Who\ufffd?"), (1, 1, "a\tb")]


def test_csv_and_tsv_keep_numbers_as_texts(tmp_path):
    (tmp_path / "e.csv").write_text('id,question,options\n1,Who?,"a, b"\n2,012,\n')
    (tmp_path / "e.tsv").write_text("id\tquestion\toptions\n1\tWho?\ta, b\n2\t012\t\n")
    assert [t for t in texts(tmp_path / "e.csv") if t[2]] == EXPECTED
    assert [t for t in texts(tmp_path / "e.tsv") if t[2]] == EXPECTED


def test_parquet_with_lists_of_strings(tmp_path):
    table = pa.table({"question": ["Who?", None], "options": [["a", "b"], ["c"]]})
    pq.write_table(table, tmp_path / "e.parquet")
    assert texts(tmp_path / "e.parquet") == [
        (1, 0, "Who?"), (1, 1, "a"), (1, 1, "b"), (2, 1, "c"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.jsonl", b'{"question":"a"}\nnot json\n', "line 2 is no JSON object"),
        ("e.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("e.jsonl", b'{"prompt":"a"}\n', "has text in question, options; it has prompt: name"),
        ("e.jsonl", b"", "it has no record: name others"),
        ("e.csv", b"prompt\na\n", "it has prompt: name others in overlap.fields"),
        ("e.parquet", b"PAR1 and no more", "cannot read"),
        ("e.jsonl.gz", gzip.compress(b'{"question":"a"}\n')[:-9], "e.jsonl.gz: "),
    ],
)
def test_what_cannot_be_read_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        texts(tmp_path / name)


def test_patterns_name_files_in_order_and_none_twice(tmp_path):
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / name).write_text("{}")
    found = evaluation_files((str(tmp_path / "*.jsonl"),))
    assert [file.name for file in found] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(UserError, match="no such file"):
        evaluation_files((str(tmp_path / "*.csv"),))
    with pytest.raises(UserError, match="named twice"):
        evaluation_files((str(tmp_path / "a.jsonl"), str(tmp_path / "a*")))


def test_sets_of_one_file_name_go_by_their_paths(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test.jsonl").write_text("{}")
    found = evaluation_files((str(tmp_path / "*" / "test.jsonl"),))
    assert [file.name for file in found] == [str(file.path) for file in found]
