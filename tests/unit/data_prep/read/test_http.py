"""Bodies of archived responses: what the header says is tried, never trusted, and never the end."""

import gzip
import random
import time
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard

from data_prep.read.http import BodyError, decoded, read_fields, split_response
from tests.unit.data_prep.read.samples import PAGE, bads, raws, read_bytes, warc_record

STORY = PAGE.format(i=7, day=3).encode()
MOST = 1 << 20
CASES = Path(__file__).parents[5] / "shared/data/cases"


def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def chunked(data, extension=b"", end=b"0\r\n\r\n", size=100, line=b"\r\n"):
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x%b%b%b%b" % (len(p), extension, line, p, line) for p in parts) + end


PACKED = {
    "gzip": gzip.compress(STORY),
    "x-gzip": gzip.compress(STORY),
    "GZIP": gzip.compress(STORY),
    "deflate": zlib.compress(STORY),
    "br": brotli.compress(STORY),
    "zstd": zstandard.compress(STORY),
}


@pytest.mark.parametrize("coding", ["none", "utf-8", "identity", "", "UTF8", "binary", *PACKED])
def test_a_plain_body_is_had_whatever_the_header_says(coding):
    assert decoded({"content-encoding": coding}, STORY, MOST).body == STORY


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        *PACKED.items(),
        ("deflate", raw_deflate(STORY)),
        ("deflate", gzip.compress(STORY)),
        ("", gzip.compress(STORY)),
        ("none", gzip.compress(STORY)),
        ("gzip, gzip", gzip.compress(gzip.compress(STORY))),
        ("gzip", gzip.compress(gzip.compress(STORY))),
        ("br, gzip", gzip.compress(brotli.compress(STORY))),
        ("gzip", gzip.compress(STORY) + b"\r\n\r\nrubbish"),
        ("gzip", gzip.compress(STORY) + b"\0" * 50),
        ("gzip", gzip.compress(STORY[:90]) + gzip.compress(STORY[90:])),
        ("deflate", zlib.compress(STORY) + b"rubbish"),
    ],
)
def test_a_packed_body_is_unpacked(coding, body):
    assert decoded({"content-encoding": coding}, body, MOST).body == STORY


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "chunks",
    [
        {}, {"extension": b";name=value; other"}, {"extension": b"  "}, {"end": b""},
        {"end": b"0\r\nTrailer: x\r\n\r\n"}, {"end": b"0\r\n\r\nHTTP/1.1 200 OK"},
        {"line": b"\n"}, {"size": 7},
    ],
)  # fmt: skip
def test_chunks_are_joined(packed, chunks):
    body = chunked(gzip.compress(STORY) if packed else STORY, **chunks)
    fields = {"transfer-encoding": "Chunked", "content-encoding": "gzip" if packed else ""}
    assert decoded(fields, body, MOST).body == STORY


def test_a_body_that_only_says_it_is_chunked_stays():
    assert decoded({"transfer-encoding": "chunked"}, STORY, MOST).body == STORY
    # A wrong size ends the chunks; what came before it is kept.
    cut = chunked(STORY)[: -len(STORY) // 2]
    assert STORY.startswith(decoded({"transfer-encoding": "chunked"}, cut, MOST).body[:-4])


def test_what_is_cut_off_keeps_what_it_has():
    body = gzip.compress(STORY * 40, mtime=0)
    found = decoded({"content-encoding": "gzip"}, body[: len(body) // 2], MOST).body
    assert found and (STORY * 40).startswith(found)


@pytest.mark.parametrize("coding", ["", "br", "gzip", "compress", "deflate"])
def test_bytes_that_are_no_text_name_the_header(coding):
    rubbish = random.Random(3).randbytes(4000)
    with pytest.raises(BodyError, match="Content-Encoding"):
        decoded({"content-encoding": coding}, rubbish, MOST)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(bytes(50 << 20)), gzip.compress(gzip.compress(bytes(50 << 20))),
        zlib.compress(b"a" * (50 << 20)), brotli.compress(b"a" * (20 << 20)),
        zstandard.compress(b"a" * (50 << 20)),
    ],
)  # fmt: skip
def test_a_body_made_to_explode_is_refused(body):
    for coding in ("gzip", "deflate", "br", "zstd"):
        with pytest.raises(BodyError):
            decoded({"content-encoding": coding}, body, MOST)


def test_text_in_utf_16_is_text():
    for mark in (STORY.decode().encode("utf-16"), STORY.decode().encode("utf-16-be")):
        body = mark if mark.startswith(b"\xff\xfe") else b"\xfe\xff" + mark
        assert decoded({}, body, MOST).body == body


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_lines_of_a_header_end_with_either(end):
    lines = [b"HTTP/1.0 200", b"A: one", b"a: two", b"  more", b"B:", b"no colon", b"c:d:e"]
    status, fields, body = split_response(end.join(lines) + end * 2 + b"text", MOST)
    assert (status, body) == (b"HTTP/1.0 200", b"text")
    assert fields == {"a": "one", "b": "", "c": "d:e"}
    assert read_fields(b"Long: a" + end + b"\tb" + end) == {"long": "a b"}
    assert split_response(b"HTTP/1.1 200 OK", MOST) == (b"HTTP/1.1 200 OK", {}, b"")


def http(body, *lines, end=b"\r\n"):
    head = [b"HTTP/1.1 200 OK", *lines]
    return end.join(head) + end * 2 + body


def pages(tmp_path, *records):
    return raws(read_bytes(tmp_path, "a.warc", b"".join(records), format="warc"))


HTML = b"Content-Type: text/html; charset=utf-8"


def test_pages_of_an_archive_are_read_whatever_their_headers_say(tmp_path):
    blocks = [
        http(STORY, HTML, b"Content-Encoding: none"),
        http(STORY, HTML, b"Content-Encoding: gzip", b"Transfer-Encoding: chunked"),
        http(raw_deflate(STORY), HTML, b"Content-Encoding: deflate"),
        http(gzip.compress(STORY), HTML),
        http(STORY, HTML, end=b"\n"),
        http(STORY),  # no Content-Type, and HTML
    ]
    found = pages(tmp_path, *(warc_record(b, number=n) for n, b in enumerate(blocks, 1)))
    assert len(found) == len(blocks)
    assert {page["title"] for page in found} == {"Title 7"}
    assert len({page["text"] for page in found}) == 1


@pytest.mark.parametrize(
    "start",
    [
        b"", b"\n", HTML + b"\r\n\r\n", b"Date: today\nX-A: b\n\n", b"h2 200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n", b"ICY 200 OK\n\n", b"http/1.1\t200.0 Fine\r\n" + HTML + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.wap.xhtml+xml\r\n\r\n",
    ],
)  # fmt: skip
def test_an_answer_may_lack_its_status_line_or_have_another_protocol_s(tmp_path, start):
    (found,) = pages(tmp_path, warc_record(start + STORY))
    assert found["title"] == "Title 7" and "paragraph" in found["text"]


@pytest.mark.parametrize("status", [b"h2 404", b"ICY 301 Moved", b"HTTP/1.1 20", b"HTTP/1.1 2000"])
def test_another_answer_than_a_page_is_none(tmp_path, status):
    record = warc_record(status + b"\r\n" + HTML + b"\r\n\r\n" + STORY)
    found = read_bytes(tmp_path, "a.warc", record, format="warc")
    assert bads(found) == [(1, "no_html_page")] and status.decode() in found[0].detail


@pytest.mark.parametrize("kind", ["application/http; msgtype=response", ""])
def test_a_resource_may_be_an_answer_with_its_header(tmp_path, kind):
    block = http(gzip.compress(STORY), HTML, b"Content-Encoding: gzip")
    (found,) = pages(tmp_path, warc_record(block, "resource", Content_Type=kind))
    assert found["title"] == "Title 7"


def test_text_that_others_made_of_a_page_may_be_markdown(tmp_path):
    block = b"# Title\n\nWords of a page."
    record = warc_record(block, "conversion", Content_Type="text/markdown; charset=utf-8")
    assert raws(read_bytes(tmp_path, "a.wet", record))[0]["text"] == block.decode()


def test_what_is_no_page_has_a_reason_that_names_the_header(tmp_path):
    rubbish = random.Random(5).randbytes(3000)
    blocks = [http(rubbish, HTML, b"Content-Encoding: br"), http(b"plain words", b"X: y")]
    data = b"".join(warc_record(block) for block in blocks)
    found = read_bytes(tmp_path, "a.warc", data, format="warc")
    assert bads(found) == [(1, "unreadable_body"), (2, "no_html_page")]
    assert "Content-Encoding 'br'" in found[0].detail and "no Content-Type" in found[1].detail


def test_records_of_other_versions_and_kinds(tmp_path):
    response = warc_record(http(STORY, HTML))
    lines = [b"WARC-Type: resource", b"WARC-Target-URI: https://news.example/r",
             b"Content-Type: text/html", b"Content-Length: %d" % len(STORY)]  # fmt: skip
    resource = b"\n".join([b"WARC/0.18", *lines, b"", STORY, b"", b""])
    image = resource.replace(b"text/html", b"image/png")
    old = response.replace(b"WARC/1.0", b"WARC/0.17").replace(b"WARC/1.1", b"WARC/0.17")
    # A page may speak of WARC/ without being a record.
    between = b"\r\nWARC/ is a format\r\n\r\n"
    found = read_bytes(
        tmp_path, "a.warc", response + resource + between + old + image, format="warc"
    )
    assert [page["url"][-2:] for page in raws(found)] == ["/0", "/r", "/0"]
    assert [reason for _, reason in bads(found)] == ["broken_warc", "no_html_page"]


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_shared_archive_of_lying_headers_is_read_whole(tmp_path):
    found = raws(read_bytes(tmp_path, "a.warc", (CASES / "encodings.warc").read_bytes()))
    assert len(found) == (CASES / "encodings.warc").read_bytes().count(b"WARC-Type:")
    assert all("MARK" in page["text"] for page in found)


def test_an_answer_of_nothing_but_provisional_ones_ends_soon():
    block = b"HTTP/1.1 100 Continue\r\n\r\n" * 200_000
    started = time.process_time()
    split_response(block, 32 << 10)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("others", [["application/json"], ["text/plain", "application/json"]])
def test_of_several_types_that_of_a_page_counts(others):
    lines = "".join(
        f"Content-Type: {kind}\r\n" for kind in [*others, "text/html; charset=x", "text/html"]
    )
    assert read_fields(lines.encode())["content-type"] == "text/html; charset=x"


def test_frames_of_zstd_one_after_another_are_one_body():
    frames = zstandard.compress(STORY[:90]) + zstandard.compress(STORY[90:])
    for body in (frames, frames + b"rubbish"):
        assert decoded({"content-encoding": "zstd"}, body, MOST) == (STORY, False)
    second = len(zstandard.compress(STORY[:90]))
    damaged = frames[: second + 6] + b"\xff" * 8 + frames[second + 14 :]
    assert decoded({"content-encoding": "zstd"}, damaged, MOST) == (STORY[:90], True)


LONG = bytes(random.Random(1).choices(b"abcdefgh \n", k=300_000))


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(LONG)), ("", gzip.compress(LONG)), ("deflate", zlib.compress(LONG)),
        ("deflate", raw_deflate(LONG)), ("br", brotli.compress(LONG)),
        ("zstd", zstandard.compress(LONG)), ("chunked", chunked(LONG)),
    ],
)  # fmt: skip
def test_a_body_that_ends_within_its_coding_is_told_as_cut(coding, body):
    name = "transfer-encoding" if coding == "chunked" else "content-encoding"
    assert decoded({name: coding}, body, MOST) == (LONG, False)
    found, cut = decoded({name: coding}, body[: len(body) // 2], MOST)
    assert cut and LONG.startswith(found[:10_000]) and len(found) < len(LONG)


@pytest.mark.parametrize(
    ("body", "fields", "cut"),
    [
        (STORY[:-60], {}, True),
        (STORY[:-60].decode(errors="ignore").encode("utf-16"), {}, True),
        (STORY, {}, False),
        # Written anew, and shorter; comments behind the last tag are cut off.
        (STORY.decode().replace("<nav>", "").encode() + b"\n<!-- cac", {}, False),
        (STORY.decode().upper().encode("utf-16-be"), {}, False),
        # The length of before a coding was undone.
        (STORY[:-60], {"content-encoding": "gzip"}, False),
        (STORY[:-60], {"x-crawler-content-encoding": "br"}, False),
        (STORY[:-60], {"transfer-encoding": "chunked"}, False),
        (gzip.compress(STORY[:-60]), {}, False),
        (STORY[:-60], {"content-length": str(len(STORY) - 60)}, False),
        *((STORY[:-60], {"content-length": odd}, False) for odd in ("", "-1", "9" * 5000, "²")),
    ],
)  # fmt: skip
def test_a_plain_body_shorter_than_its_length_is_cut_where_it_has_not_its_end(body, fields, cut):
    given = {"content-length": str(len(body) + 60), "content-type": "text/html"} | fields
    assert decoded(given, body, MOST).cut == cut


def test_an_archived_page_shorter_than_its_length_says_so(tmp_path):
    length = b"Content-Length: %d" % len(STORY)
    cut, whole = (warc_record(http(body, HTML, length)) for body in (STORY[:-60], STORY))
    assert [page.get("truncated") for page in pages(tmp_path, cut, whole)] == ["body", None]


def test_a_page_whose_body_was_cut_says_so_unless_the_archive_says_why(tmp_path):
    block = http(chunked(STORY)[:-5], HTML, b"Transfer-Encoding: chunked")
    records = warc_record(block), warc_record(block, WARC_Truncated="time")
    whole = warc_record(http(chunked(STORY), HTML, b"Transfer-Encoding: chunked"))
    found = [page.get("truncated") for page in pages(tmp_path, *records, whole)]
    assert found == ["body", "time", None]
