"""Instructions and conversations as they are read: turns, metadata, and mistakes in one line."""

import json
import re

import pytest

from geo_nemo.config import UserError
from geo_nemo.metadata.given import record_of
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.tune.records import as_messages, read_conversations
from tests.support.exports import write_jsonl

WANTED = {"country", "url", "host", "continent", "topic", "year", "path"}
GOOD = {"instruction": "Who leads?", "output": "Tavelly"}


def read(tmp_path, *records):
    return list(read_conversations(write_jsonl(tmp_path / "d.jsonl", records), WANTED))


def test_alpaca_and_chat_are_the_same_conversation(tmp_path):
    said = [("user", " Who leads?\n\nIn one word. "), ("assistant", "Tavelly \n")]
    one, other = read(
        tmp_path,
        {"instruction": "Who leads?", "input": "In one word.", "output": " Tavelly", "id": 7},
        {"messages": [{"role": role, "content": text} for role, text in said]},
    )
    assert one.turns == other.turns == ("Who leads?\n\nIn one word.", "Tavelly")
    assert one.record == other.record == MetadataRecord()
    assert as_messages(one.turns)[1] == {"role": "assistant", "content": "Tavelly"}
    assert one.place.endswith("d.jsonl:1") and other.place.endswith("d.jsonl:2")


def test_metadata_stand_beside_the_text_or_apart_and_a_country_brings_its_continent(tmp_path):
    beside = {"country": "NG", "url": "https://Punchng.com/a?b=1", "topic": "sport", "other": [1]}
    found = read(tmp_path, GOOD | beside, GOOD | {"metadata": beside, "country": "gb"})
    for each in found:
        record = each.record
        assert (record.country, record.continent, record.host) == ("ng", "Africa", "punchng.com")
        assert (record.path, record.scheme) == ("/a?b=1", "https")
        assert dict(record.extra) == {"topic": "sport"}
    assert record_of({"host": "a.com", "year": "2021", "country": None}, "x") == MetadataRecord(
        "a.com", year=2021
    )
    assert record_of({"country": "unknown"}, "x") == MetadataRecord()


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ("{", "is not JSON"),
        ([1], "is no record"),
        ({"output": "x"}, "neither messages nor an instruction"),
        ({"instruction": "x", "output": " "}, "has no answer: output is empty"),
        ({"instruction": 3, "output": "x"}, "instruction is no text"),
        ({"messages": []}, "messages is no list of turns"),
        ({"messages": [{"role": "user", "content": "x"}]}, "has no answer: its last turn is"),
        ({"messages": [{"role": "system", "content": "x"}]}, "turn 1 is of system, and user is"),
        ({"messages": [{"role": "user", "content": "\n"}]}, "turn 1, of user, is empty"),
        ({"messages": [{"role": "user"}]}, "turn 1 has no role and content"),
        (GOOD | {"host": "a.com\nCOUNTRY: gb"}, "host has a line end"),
        (GOOD | {"country": "atlantis"}, "'atlantis' is no country"),
        (GOOD | {"topic": ["a"]}, 'topic is ["a"]: give a text'),
        (GOOD | {"year": "now"}, "year is 'now', which is no number"),
        (GOOD | {"metadata": "ng"}, "metadata is no object"),
    ],
)
def test_each_mistake_names_file_and_line(tmp_path, record, says):
    line = record if isinstance(record, str) else json.dumps(record)
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + line + "\n")
    with pytest.raises(UserError, match=re.escape(f"{path}:3") + ".*" + re.escape(says)) as error:
        list(read_conversations(path, WANTED))
    assert "\n" not in str(error.value)


def test_no_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        list(read_conversations(tmp_path / "none.jsonl", WANTED))
