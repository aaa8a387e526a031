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
        (GOOD | {"year": "1e999"}, "year is '1e999', which is no number"),
        (GOOD | {"url": "https://[::1"}, "url is 'https://[::1': "),
        (GOOD | {"url": "not an address"}, "host is 'not an address', which is no host"),
        (GOOD | {"host": "http://a.com/b"}, "which is no host: give its name"),
        (GOOD | {"host": "a\u2028b"}, "host holds the control character U+2028"),
        (GOOD | {"host": "a\x00b"}, "host holds the control character U+0000"),
        (GOOD | {"topic": "a\tb"}, "topic holds the control character U+0009"),
        (GOOD | {"continent": "Atlantis"}, "'Atlantis' is no continent"),
        (GOOD | {"continent": "Europe", "country": "ng"}, "ng is not in Europe but in Africa"),
        (GOOD | {"instruction": "\ud800"}, r"has half a character (\ud800)"),
        ("[" * 99_999, "is not JSON: give a record a line, not one list over all"),
        ([GOOD, GOOD], "is no record: give an object with messages, or instruction, each on a"),
    ],
)
def test_each_mistake_names_file_and_line(tmp_path, record, says):
    line = record if isinstance(record, str) else json.dumps(record)
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + line + "\n")
    with pytest.raises(UserError, match=re.escape(f"{path}:3") + ".*" + re.escape(says)) as error:
        list(read_conversations(path, WANTED))
    assert "\n" not in str(error.value)


def test_a_continent_is_read_as_prep_reads_it(tmp_path):
    found = read(
        tmp_path,
        GOOD | {"country": "cy", "continent": "Europe"},  # which the table has in Asia
        GOOD | {"continent": "south america"},
        GOOD | {"continent": "Unknown", "country": "ng"},
        GOOD | {"host": "Punchng.COM", "url": "https://[::1]/a"},
    )
    said = [each.record.continent for each in found]
    assert said == ["Asia", "America", "Africa", MetadataRecord().continent]
    assert found[3].record.host == "punchng.com" and found[3].record.path == "/a"


@pytest.mark.parametrize("begins", [b"\x1f\x8b", b"PAR1", b"PK\x03\x04"])
def test_what_is_packed_is_said(tmp_path, begins):
    path = tmp_path / "d.jsonl"
    path.write_bytes(begins + b"\n{}")
    with pytest.raises(UserError, match=r":1 is packed, and not JSON Lines: unpack it first$"):
        list(read_conversations(path, WANTED))


def test_no_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        list(read_conversations(tmp_path / "none.jsonl", WANTED))
