"""Values of JSON cut out of a stream, whatever blocks it comes in."""

import json
import random

import pytest

from data_prep.config import Source
from data_prep.read import list_files, pieces
from data_prep.read.json_values import split_values
from data_prep.read.record import DamagedError
from tests.unit.data_prep.read.test_odd_files import ONE, TEXT, TWO, read

MOST = 1 << 20


def blocks(data: bytes, size: int):
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b'[{"a": "]}"}, {"b": [1, {}]} ]', [b'{"a": "]}"}', b'{"b": [1, {}]}']),
        (b'\xef\xbb\xbf [ {"a": "\\\\\\""},\n null,3 ]\n', [b'{"a": "\\\\\\""}', b"null", b"3"]),
        (b'{\n"a": 1\n}\n{\n"b": 2\n},\n', [b'{\n"a": 1\n}', b'{\n"b": 2\n}']),
        (b'[{"a": 1}]\n[{"b": 2}]', [b'{"a": 1}', b'{"b": 2}']),
        (b"[]", []), (b"[ ]\n", []), (b"[[1, 2], [3]]", [b"[1, 2]", b"[3]"]),
    ],
)  # fmt: skip
def test_values_of_arrays_and_objects_one_after_another(data, values, size):
    found = list(split_values(blocks(data, size), MOST))
    assert found == [(number, value, 0) for number, value in enumerate(values, 1)]


def drawn(rng: random.Random, depth: int = 0):
    kind = rng.random() + depth / 8
    if kind > 0.6:
        return rng.choice(
            ['a"b\\c\n{[', "x,y]}", "é😀\u2028", 1, -2.5e7, None, True, "", "\\", '\\"']
        )
    if kind > 0.3:
        return [drawn(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice('ab"\\') + str(n): drawn(rng, depth + 1) for n in range(rng.randrange(4))}


def test_what_json_writes_comes_back_in_blocks_of_any_size():
    rng = random.Random(5)
    for _ in range(300):
        wanted = [{"k": drawn(rng)} if rng.random() < 0.8 else drawn(rng) for _ in range(4)]
        data = json.dumps(wanted, indent=rng.choice([None, 1]), ensure_ascii=rng.random() < 0.5)
        found = split_values(blocks(data.encode(), rng.choice([1, 2, 5, 40, MOST])), MOST)
        assert [json.loads(value) for _, value, _ in found] == wanted


def test_of_a_value_over_the_limit_the_start_alone_is_kept():
    long = b'{"a": "' + b"x" * 5000 + b'"}'
    data = b'[{"b": 1}, ' + long + b', {"c": 2}]'
    found = list(split_values(blocks(data, 64), 200))
    assert [(number, size) for number, _, size in found] == [(1, 0), (2, len(long)), (3, 0)]
    assert found[0][1] == b'{"b": 1}' and found[2][1] == b'{"c": 2}'
    assert long.startswith(found[1][1]) and 200 <= len(found[1][1]) <= 1024


@pytest.mark.parametrize(
    ("data", "whole"),
    [(b'[{"a": 1}', 1), (b'[{"a": 1},', 1), (b'[{"a": 1}, {"b', 1), (b'{"a": {\n', 0), (b"[", 0)],
)
def test_what_ends_too_early_gives_what_is_whole(data, whole):
    found = []
    with pytest.raises(DamagedError, match="the file ends inside a JSON"):
        for _, value, _ in split_values(blocks(data, 3), MOST):
            found.append(value)
    assert found == [b'{"a": 1}'] * whole


def test_a_damaged_value_costs_itself_and_no_other(tmp_path):
    data = f"[\n{ONE.strip()},\n{{oops}},\n3,\n{TWO.strip()}\n]"
    texts, bads = read(tmp_path, "a.json", data)
    assert texts == [f"{TEXT} 1", f"{TEXT} 2"]
    assert [reason for reason, _ in bads] == ["broken_json", "wrong_type"]


@pytest.mark.parametrize("data", ["[]", " [ ]\n"])
def test_a_file_without_records_is_a_lost_one(tmp_path, data):
    texts, ((reason, _),) = read(tmp_path, "a.json", data)
    assert (texts, reason) == ([], "empty_file")


def test_only_lines_are_cut_into_pieces(tmp_path):
    records = [json.loads(line) for line in (ONE, TWO) * 40]
    spread = "\n".join(json.dumps(record, indent=1) for record in records)
    for name, data, cut in (("a", "\n".join(map(json.dumps, records)), True), ("b", spread, False),
                            ("c", json.dumps(records), False)):  # fmt: skip
        (tmp_path / f"{name}.json").write_text(data)
        (file,) = list_files(Source(path=str(tmp_path / f"{name}.json")))
        assert (len(list(pieces(file, 1 << 10))) > 1) == cut
