"""Web archives: pages become text, title and date; what is no page has a reason."""

import gzip
import os
import signal
import subprocess
import sys
import time

import pytest

from data_prep.config import Limits
from data_prep.quarantine import REASONS
from data_prep.read import html
from data_prep.read.html import Extractor, extractor
from geo_nemo.common.errors import RunError
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.read.samples import (
    PAGE,
    bads,
    raws,
    read_bytes,
    response,
    warc,
    warc_record,
    wet,
)

STORY = PAGE.format(i=1, day=2)
TEXT = (
    "The first paragraph of story 1 tells what happened in the town of É.\n\n"
    "The second one tells why, at some length, and whom it may concern."
)


def archive(tmp_path, *blocks, limits=None, **options):
    records = [warc_record(block, number=n) for n, block in enumerate(blocks, 1)]
    return read_bytes(tmp_path, "a.warc", b"".join(records), limits, **options)


def page(tmp_path, html, kind="text/html", more=""):
    html = html if isinstance(html, bytes) else html.encode()
    (fields,) = raws(archive(tmp_path, response(html, kind=kind, more=more)))
    return fields


def test_a_page_gives_its_main_text_title_date_and_address(tmp_path):
    fields = page(tmp_path, STORY)
    assert TEXT in fields.pop("text").replace("Title 1\n\n", "")
    assert fields == {
        "url": "https://news.example/1",
        "id": "urn:uuid:" + "1".zfill(32),
        "title": "Title 1",
        "date": "2024-05-02",
        "extractor": "article",
    }


@pytest.mark.parametrize(
    ("written", "told"),
    [("length", "length"), ("Time", "time"), ("disconnect", "disconnect"), ("#9", "unspecified")],
)
def test_a_record_that_was_cut_off_says_why(tmp_path, written, told):
    block = response(STORY.encode())
    data = warc_record(block, WARC_Truncated=written) + warc_record(block, number=1)
    cut, whole = raws(read_bytes(tmp_path, "a.warc", data))
    assert cut["truncated"] == told and "truncated" not in whole
    text = warc_record(b"A text of some length.", "conversion", WARC_Truncated=written)
    assert raws(read_bytes(tmp_path, "a.wet", text))[0]["truncated"] == told
    own = {"extra": {"cut": "WARC-Truncated"}}
    found = raws(read_bytes(tmp_path, "a.warc", data, fields=own))
    assert [each.get("extra.cut") for each in found] == [written, None]


def test_menus_and_footers_are_no_text(tmp_path):
    text = page(tmp_path, STORY)["text"]
    assert "Home" not in text and "Copyright" not in text


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "one member"])
def test_only_responses_count_but_all_records_have_a_number(tmp_path, pack):
    data = (
        warc_record(b"software: none", "warcinfo")
        + warc_record(b"GET / HTTP/1.1\r\n\r\n", "request")
        + warc(1)
        + warc_record(b"fetchTimeMs: 1", "metadata")
        + warc_record(response(b""), "revisit")
        + wet()
    )
    found = read_bytes(tmp_path, "a.warc.gz", pack(data), format="warc")
    assert [item.number for item in found] == [4]
    assert len(read_bytes(tmp_path, "a.warc.gz", pack(data), format="wet")) == 6
    assert len(read_bytes(tmp_path, "a.warc.gz", pack(data))) == 7


@pytest.mark.parametrize(
    "block",
    [
        response(b"gone", status="404 Not Found"),
        response(b"", status="301 Moved", more="Location: /\r\n"),
        response(b"\x89PNG", kind="image/png"),
        response(b"{}", kind="application/json"),
        b"not HTTP at all",
        b"",
    ],
)
def test_a_response_that_is_no_page_has_a_reason(tmp_path, block):
    found = archive(tmp_path, block, response(STORY.encode()))
    assert bads(found) == [(1, "no_html_page")]
    assert len(raws(found)) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("Zürich – naïve".encode(), "text/html"),
        ("Zürich – naïve".encode(), "text/html; charset=iso-8859-1"),
        ("Zürich – naïve".encode("cp1252"), "text/html; charset=iso-8859-1"),
        ("Zürich – naïve".encode("cp1252"), 'text/html; charset="windows-1252"'),
        (b'<meta charset="windows-1252">' + "Zürich – naïve".encode("cp1252"), "text/html"),
        ("Zürich – naïve".encode("utf-16"), "text/html; charset=utf-16"),
        ("Zürich – naïve".encode("cp1252"), "text/html; charset=klingon"),
        (b"\xef\xbb\xbf" + "Zürich – naïve".encode(), "text/html; charset=latin1"),
    ],
)
def test_the_encoding_is_that_of_the_bytes_then_of_header_and_page(tmp_path, body, kind):
    assert page(tmp_path, body, kind=kind)["text"].strip() == "Zürich – naïve"


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (gzip.compress(STORY.encode()), "Content-Encoding: gzip\r\n"),
        (b"%x\r\n%b\r\n0\r\n\r\n" % (len(STORY.encode()), STORY.encode()),
         "Transfer-Encoding: chunked\r\n"),
        # Common Crawl unpacks pages and keeps the header under another name.
        (STORY.encode(), "X-Crawler-Content-Encoding: gzip\r\n"),
    ],
)  # fmt: skip
def test_pages_sent_packed_or_in_chunks_are_read(tmp_path, body, more):
    assert page(tmp_path, body, more=more)["title"] == "Title 1"


@pytest.mark.parametrize(
    ("head", "date"),
    [
        ('<meta property="article:published_time" content="2023-01-02T23:59-08:00">', "2023-01-02"),
        ('<meta itemprop="datePublished" content="20230102">', "2023-01-02"),
        ('<meta name="pubdate" content="Mon, 02 Jan 2023 10:00:00 GMT">', "2023-01-02"),
        ('<script type="application/ld+json">{"datePublished": "2023-01-02T00:00"}</script>',
         "2023-01-02"),
        ('<meta name="date" content="1965-07-04">', "1965-07-04"),
        ('<meta name="date" content="1970-01-01T00:00:00Z">', "2024-06-01"),
        ('<meta name="date" content="yesterday">', "2024-06-01"),
        ('<meta name="date" content="0000-00-00">', "2024-06-01"),
        ("", "2024-06-01"),
    ],
)  # fmt: skip
def test_the_date_is_the_page_s_own_or_that_of_the_crawl(tmp_path, head, date):
    assert page(tmp_path, f"<html><head>{head}</head><p>Text</p></html>")["date"] == date


def test_a_page_without_text_has_an_empty_one(tmp_path):
    assert page(tmp_path, b"")["text"] == ""
    assert page(tmp_path, b"\0\0<title>T</title>")["title"] == "T"


def test_records_of_wet_give_their_text(tmp_path):
    found = raws(read_bytes(tmp_path, "a.warc.wet", wet()))
    assert found[1] == {
        "text": "Story 1\nwith é and more text.",
        "url": "https://news.example/1",
        "id": "urn:uuid:" + "1".zfill(32),
        "date": "2024-06-01",
    }
    bad = warc_record(b"caf\xe9", "conversion") + wet()
    found = read_bytes(tmp_path, "a.warc.wet", bad)
    assert (bads(found), len(raws(found))) == ([(1, "invalid_utf8")], 6)


def test_records_over_the_limit_are_set_aside(tmp_path):
    limits = Limits(record_bytes=2000)
    found = archive(tmp_path, response(b"x" * 3000), response(b"<p>short"), limits=limits)
    assert bads(found) == [(1, "record_too_long")]
    assert [fields["text"] for fields in raws(found)] == ["short"]


def test_segments_of_a_record_are_told_and_none_is_kept_as_the_page(tmp_path):
    block = response(STORY.encode())
    first = warc_record(block[:-40], number=7, WARC_Segment_Number="1")
    origin = "<urn:uuid:" + "7".zfill(32) + ">"
    more = {"WARC_Segment_Number": "2", "WARC_Segment_Origin_ID": origin}
    rest = warc_record(block[-40:], "continuation", 8, **more)
    image = warc_record(response(b"GIF", kind="image/gif"), WARC_Segment_Number="1")
    data = first + warc_record(block, number=1) + rest + image
    for name, given in (("a.warc", {}), ("b.warc", {"format": "warc"})):
        found = read_bytes(tmp_path, name, data, **given)
        assert bads(found) == [
            (1, "segmented_record"), (3, "segmented_record"), (4, "no_html_page"),
        ]  # fmt: skip
        assert [fields["id"][-1] for fields in raws(found)] == ["1"]
    assert found[0].detail == f"segment '1' of the record {origin}"
    assert found[2].detail == f"segment '2' of the record {origin}"
    (bad,) = read_bytes(tmp_path, "a.wet", rest, format="wet")
    assert bad.reason == "segmented_record" and bad.reason in REASONS


def test_bytes_of_no_record_are_not_counted_as_one(tmp_path):
    records = [*samples.warc_records(2), warc_record(response(b"", "404 Not Found"))]
    lost = b"garbage\r\nmore of it\r\n\r\n"
    found = read_bytes(tmp_path, "a.warc", lost + records[0] + lost + b"".join(records[1:]) + lost)
    assert [(item.number, getattr(item, "reason", "page")) for item in found] == [
        (1, "broken_warc"), (1, "page"), (2, "broken_warc"), (2, "page"), (3, "no_html_page"),
        (4, "broken_warc"),
    ]  # fmt: skip
    found = read_bytes(tmp_path, "b.warc", lost, format="warc")
    assert bads(found) == [(1, "broken_warc"), (0, "unknown_format")]


@pytest.mark.parametrize(
    "broken",
    [
        b"garbage\r\nmore of it\r\n\r\n",
        warc_record(b"x", Content_Length="-1"),
        warc_record(b"x", Content_Length="9" * 30),
        warc_record(b"x", Content_Length="two"),
        b"WARC/1.0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"WARC/1.0\r\nWARC-Type: response\r\n\r\n",
        b"\0" * 100_000,
    ],
)
def test_after_damage_the_next_record_is_found(tmp_path, broken):
    records = samples.warc_records(3)
    found = read_bytes(tmp_path, "a.warc", records[0] + broken + records[1] + records[2])
    assert [fields["title"] for fields in raws(found)] == ["Title 0", "Title 1", "Title 2"]
    assert {reason for _, reason in bads(found)} == {"broken_warc"}


def test_a_member_of_gzip_that_is_damaged_keeps_the_pages_before_it(tmp_path):
    members = [gzip.compress(record) for record in samples.warc_records(4)]
    members[2] = members[2][:60] + b"\0" * 20 + members[2][80:]
    found = read_bytes(tmp_path, "a.warc.gz", b"".join(members))
    assert [fields["title"] for fields in raws(found)] == ["Title 0", "Title 1"]
    assert len(bads(found)) == 1


def test_a_page_made_to_take_for_ever_or_to_crash_is_set_aside_and_the_next_is_read():
    extract = Extractor(10_000_000, cpu_seconds=1)
    try:
        # Time grows with the square of the depth: this takes minutes.
        deep = extract.extract(response(b"<div>" * 200_000))
        assert deep == {"error": "the page takes the extractor too much time or memory"}
        assert extract.extract(response(STORY.encode()))["title"] == "Title 1"
    finally:
        extract.close()


def test_an_extractor_that_someone_else_ended_is_started_again():
    extract = extractor(10_000_000)
    assert extract.extract(response(STORY.encode()))["title"] == "Title 1"
    os.kill(extract._process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while extract._process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert extract.extract(response(STORY.encode()))["title"] == "Title 1"


@pytest.mark.parametrize("charset", ["idna", "undefined", "nonsense"])
def test_an_encoding_that_is_none_of_text_ends_no_run(tmp_path, charset):
    kind = f"text/plain; charset={charset}"
    record = warc_record(b"Rain in Kisumu.", "conversion", Content_Type=kind)
    assert raws(read_bytes(tmp_path, "a.wet", record))[0]["text"] == "Rain in Kisumu."


def test_where_a_cluster_allows_less_memory_pages_are_read_all_the_same():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "from data_prep.read.html import extractor\n"
        "from tests.unit.data_prep.read.test_warc import STORY, response\n"
        "print(extractor(10_000_000).extract(response(STORY.encode()))['title'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "Title 1\n", done.stderr


def test_an_extractor_that_does_not_start_is_no_fault_of_the_pages(tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text("import no_such_package")
    monkeypatch.setattr(html, "_SCRIPT", script)
    extract = Extractor(10_000_000)
    with pytest.raises(RunError, match=r"does not start: ModuleNotFoundError: .*no_such_package"):
        extract.extract(response(STORY.encode()))
