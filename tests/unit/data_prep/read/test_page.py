"""Pages saved as files, and the archives before WARC."""

import gzip

import pytest

from data_prep.config import Limits, Prep, Source
from data_prep.ingest import Ingest
from data_prep.read import Raw, list_files, open_reader
from tests.unit.data_prep.read.samples import bads, raws, read_bytes, response, warc_record

SENTENCE = "The council of the town met on Tuesday to talk about the new bridge over the river. "
BODY = f"<article><h1>A new bridge</h1><p>{SENTENCE * 4}</p><p>{SENTENCE * 4}</p></article>"


def page(head: str = "") -> bytes:
    title = "<title>A new bridge | The Citizen</title>"
    html = f"<!DOCTYPE html><html><head>{title}{head}</head><body>{BODY}</body></html>"
    return html.encode()


def read(path, limits=None):
    (file,) = list_files(Source(path=str(path)))
    return list(open_reader(file, limits or Limits()))


LINK = '<link rel="canonical" href="https://www.thecitizen.co.tz/news/1">'


def test_a_folder_of_saved_pages_has_a_record_a_file(tmp_path):
    (tmp_path / "a.html").write_bytes(page(LINK))
    (tmp_path / "b.htm.gz").write_bytes(gzip.compress(page()))
    (tmp_path / "b.htm.gz.url").write_text("https://nation.africa/kenya/b\n")
    saved = b"<!-- saved from url=(0031)https://www.dawn.com/news/1234567 -->\n" + page()
    (tmp_path / "c.html").write_bytes(saved)
    (tmp_path / "style.css").write_text("p {}")
    files = list_files(Source(path=str(tmp_path)))
    assert [f.path.rpartition("/")[2] for f in files] == ["a.html", "b.htm.gz", "c.html"]
    found = [raws(list(open_reader(file, Limits())))[0] for file in files]
    assert [fields["url"] for fields in found] == [
        "https://www.thecitizen.co.tz/news/1", "https://nation.africa/kenya/b",
        "https://www.dawn.com/news/1234567",
    ]  # fmt: skip
    assert found[0]["title"] == "A new bridge" and found[0]["text"].startswith("The council")


@pytest.mark.parametrize(
    ("head", "url"),
    [
        ('<LINK REL="Canonical" HREF="HTTPS://dawn.com/news/1">', "HTTPS://dawn.com/news/1"),
        ('<link rel="amphtml canonical" href="https://dawn.com/n">', "https://dawn.com/n"),
        ('<link rel="canonical" href="//dawn.com/n">', "https://dawn.com/n"),
        ('<meta name="og:url" content="https://dawn.com/n">', "https://dawn.com/n"),
        ('<meta name="twitter:url" content="https://dawn.com/n">', "https://dawn.com/n"),
        (
            '<link rel="canonical" href="https://dawn.com/">'
            '<meta property="og:url" content="https://dawn.com/n">', "https://dawn.com/n",
        ),
        ('<link rel="canonical" href="https://dawn.com/">', "https://dawn.com/"),
    ],
)  # fmt: skip
def test_a_page_s_own_address_stands_in_several_ways(tmp_path, head, url):
    (fields,) = raws(read_bytes(tmp_path, "a.html", page(head)))
    assert fields["url"] == url


def test_what_a_page_says_of_itself_counts_also_where_its_head_ends_early(tmp_path):
    """An image of a counter, which may not stand in a head, ends it."""
    counter = '<noscript><img src="https://example.com/tr?id=1"></noscript>'
    told = (
        '<meta property="og:title" content="A bridge"><meta property="og:site_name" content="Post">'
        '<meta name="pubdate" content="2024-05-06">'
    )
    html = f"<!DOCTYPE html><html><head>{counter}<title>No bridge | Post</title>{told}{LINK}</head>"
    body = f"<body><p>{SENTENCE * 4}</p></body></html>"
    (fields,) = raws(read_bytes(tmp_path, "a.html", (html + body).encode()))
    assert (fields["title"], fields["date"]) == ("A bridge", "2024-05-06")
    assert fields["url"] == "https://www.thecitizen.co.tz/news/1"
    assert fields["text"] == (SENTENCE * 4).strip()


def test_an_address_beside_a_page_goes_before_its_link(tmp_path):
    (tmp_path / "a.html").write_bytes(page(LINK))
    (tmp_path / "a.html.url").write_text("https://nation.africa/x")
    assert raws(read(tmp_path / "a.html"))[0]["url"] == "https://nation.africa/x"


def test_a_page_without_an_address_says_what_is_wanted(tmp_path):
    (tmp_path / "a").write_bytes(page())  # known by its bytes
    (bad,) = read(tmp_path / "a")
    assert bad.reason == "missing_url" and "there is no a.url" in bad.detail
    (tmp_path / "long.html").write_bytes(page(LINK) + b" " * 5000)
    (bad,) = read(tmp_path / "long.html", Limits(record_bytes=4000))
    assert bad.reason == "record_too_long"


def arc(*responses: bytes) -> bytes:
    about = b"1 0 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n"
    first = b"filedesc://a.arc 0.0.0.0 20080102030405 text/plain %d\n%s\n" % (len(about), about)
    records = [
        b"https://news.example/%d 10.0.0.1 20080203040506 text/html %d\n%s\n" % (n, len(r), r)
        for n, r in enumerate(responses)
    ]
    return first + b"".join(records)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_arc_gives_the_pages_of_its_responses(tmp_path, pack):
    good, image = response(page()), response(b"\x89PNG", kind="image/png")
    data = arc(good, image, good)
    found = read_bytes(tmp_path, "a.arc", pack(data))
    assert [f["url"] for f in raws(found)] == ["https://news.example/0", "https://news.example/2"]
    assert raws(found)[0]["date"] == "2008-02-03" and raws(found)[0]["title"] == "A new bridge"
    assert bads(found) == [(3, "no_html_page")]


def test_an_arc_that_is_cut_or_damaged_keeps_what_stands_before(tmp_path):
    data = arc(response(page()), response(page()))
    found = read_bytes(tmp_path, "a.arc", data[:-300])
    assert len(raws(found)) == 1 and bads(found) == [(3, "truncated_file")]
    found = read_bytes(tmp_path, "b.arc", data.replace(b"https://news.example/0 ", b"x\ny", 1))
    assert bads(found)[0][1] == "broken_warc"


def test_lines_of_an_arc_that_begin_no_record_are_lost_together_and_no_records(tmp_path):
    data = arc(response(page()), response(page()))
    second = data.index(b"https://news.example/1 ")
    found = read_bytes(tmp_path, "a.arc", data[:second] + b"rubbish\nmore\n" + data[second:])
    assert bads(found) == [(3, "broken_warc")]
    assert found[1].detail == "2 lines of no record" and found[1].excerpt == b"rubbish"
    assert [item.number for item in found if isinstance(item, Raw)] == [2, 3]
    found = read_bytes(tmp_path, "b.arc.gz", gzip.compress(data + b"rubbish\n")[:-8])
    assert bads(found) == [(4, "broken_warc"), (4, "truncated_file")]


META = """
<META NAME="Keywords" content="bridge, river,, bridge , town">
<meta property="article:section" content=" Politics ">
<meta property="article:tag" content="roads"><meta property="article:tag" content="money">
<meta name="description" property="og:description" content="A &lt;bridge&gt;">
<meta itemprop="wordCount" content="120"><meta name="empty" content=""><meta charset="utf-8">
"""
OWN = {
    "topic": "article:section", "tags": "article:tag", "words": "KEYWORDS", "about": "description",
    "shared": "og:description", "size": {"column": "wordcount", "type": "number"}, "none": "empty",
    "nobody": "article:author",
}  # fmt: skip
TOLD = {
    "extra.topic": "Politics", "extra.tags": ["roads", "money"],
    "extra.words": ["bridge", "river", "town"], "extra.about": "A <bridge>",
    "extra.shared": "A <bridge>", "extra.size": "120",
}  # fmt: skip


def own(fields) -> dict:
    return {name: value for name, value in fields.items() if name.startswith("extra.")}


def test_meta_tags_of_a_page_are_columns(tmp_path):
    data = page(LINK + META)
    assert own(raws(read_bytes(tmp_path, "a.html", data, fields={"extra": OWN}))[0]) == TOLD
    assert own(raws(read_bytes(tmp_path, "b.html", data))[0]) == {}
    assert (
        own(raws(read_bytes(tmp_path, "a.arc", arc(response(data)), fields={"extra": OWN}))[0])
        == TOLD
    )


def test_a_header_of_an_archive_goes_before_a_tag_of_its_name(tmp_path):
    extra = {"topic": "article:section", "about": "Description"}
    pages = [response(page(META)), response(page(META), more="Description: of the server\r\n")]
    data = b"".join(
        [warc_record(pages[0], Description="of the record"), warc_record(pages[1]),
         warc_record(pages[0]), warc_record(b"Some text.", "conversion", Description="told")]
    )  # fmt: skip
    found = [own(f) for f in raws(read_bytes(tmp_path, "a.warc", data, fields={"extra": extra}))]
    topic = {"extra.topic": "Politics"}
    assert found == [
        topic | {"extra.about": "of the record"}, topic | {"extra.about": "of the server"},
        topic | {"extra.about": "A <bridge>"}, {"extra.about": "told"},
    ]  # fmt: skip


def test_the_tags_that_a_page_has_are_told(tmp_path):
    (tmp_path / "a.html").write_bytes(page(LINK + META))
    (file,) = list_files(Source(path=str(tmp_path / "a.html"), fields={"extra": {"topic": "sect"}}))
    reader = open_reader(file, Limits())
    list(reader)
    assert "article:section" in reader.seen and "keywords" in reader.seen


@pytest.mark.parametrize("name", ["a.html", "a.php", "a"])
def test_an_address_beside_a_page_that_changes_is_read_again(tmp_path, name):
    (tmp_path / name).write_bytes(page())
    config = Prep(input=str(tmp_path / name), output=str(tmp_path / "out"))
    keys = []
    for address in ("", "https://a.ke/1", "https://a.ke/22"):
        if address:
            (tmp_path / f"{name}.url").write_text(address)
            assert raws(read(tmp_path / name))[0]["url"] == address
        keys.append(Ingest(config).tasks()[0].key)
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    "named",
    ["https:///news/1", "https://www.the citizen.co.tz/news/1", "http://thecitizen.co.tz:port/1"],
)
def test_an_address_that_a_template_has_left_unfilled_is_none(tmp_path, named):
    html = page(f'<link rel="canonical" href="{named}">').decode()
    own = {"WARC-Target-URI": "https://www.thecitizen.co.tz/news/1"}
    record = warc_record(response(html.encode()), **own)
    (fields,) = raws(read_bytes(tmp_path, "a.warc", record))
    assert fields["url"] == "https://www.thecitizen.co.tz/news/1"


@pytest.mark.parametrize(
    "shortcut",
    [
        "[InternetShortcut]\r\nURL=https://nation.africa/1\r\n",
        "[{000214A0-0000-0000-C000-000000000046}]\r\nProp3=19,11\r\n[InternetShortcut]\r\n"
        "IDList=\r\nURL=https://nation.africa/1\r\n",
        "[InternetShortcut]\r\nTitle=[Video] Rain\r\nURL=https://nation.africa/1\r\n",
        "[InternetShortcut]\n URL=https://nation.africa/1\n[Other]\nURL=https://x.org/",
        "\ufeff[DEFAULT]\nBASEURL=https://x.org/\n[InternetShortcut]\nURL=https://nation.africa/1",
    ],
)
def test_a_shortcut_of_windows_may_have_other_sections(tmp_path, shortcut):
    (tmp_path / "a.html").write_bytes(page())
    (tmp_path / "a.url").write_text(shortcut, encoding="utf-8", newline="")
    assert raws(read(tmp_path / "a.html"))[0]["url"] == "https://nation.africa/1"
