"""Tar shards: members become records by key; what could leave the archive is refused."""

import io
import json
import tarfile

import pytest

from data_prep.config import Limits
from tests.unit.data_prep.read.samples import RECORDS, bads, members, raws, read_bytes, tar

ONE = [("a.json", b'{"url": "https://a.example/"}'), ("a.txt", "é".encode())]


def shard(tmp_path, content, limits=None, **options):
    return read_bytes(tmp_path, "a.tar", tar(content, **options), limits)


def test_members_of_a_key_become_one_record(tmp_path):
    content = [
        ("dir/a.json", b'{"title": "of json", "url": "https://json.example/", "text": "of json"}'),
        ("dir/a.url", b" https://a.example/\n"),
        ("dir/a.txt", " é\n".encode()),
        ("dir/a.jpg", b"picture"),
        ("dir/b.txt", b"\xef\xbb\xbfonly text"),
        ("dir/b.country", b"gb"),
        ("./c.json", b'{"id": 7, "text": "c"}'),
    ]
    assert raws(shard(tmp_path, content)) == [
        {"title": "of json", "url": "https://a.example/", "text": " é\n", "id": "dir/a"},
        {"text": "only text", "country": "gb", "id": "dir/b"},
        {"id": 7, "text": "c"},
    ]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_kind_of_tar(tmp_path, kind):
    # ustar keeps 100 bytes of a name and 155 of its folder; the others keep any.
    deep = "/".join(["folder" * 6] * 3)
    key = f"{deep}/{'n' * 90}" if kind == tarfile.USTAR_FORMAT else f"{deep}é/{'n' * 200}"
    assert raws(shard(tmp_path, [(f"{key}.txt", b"x")], kind=kind)) == [{"text": "x", "id": key}]


def link(name, kind, target="a.txt"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (("../b.txt", b"x"), "leads out"),
        (("x/../../b.txt", b"x"), "leads out"),
        (("..\\b.txt", b"x"), "leads out"),
        (("/etc/b.txt", b"x"), "an absolute path"),
        (("C:\\b.txt", b"x"), "an absolute path"),
        (link("b.txt", tarfile.SYMTYPE, "/etc/passwd"), "a symbolic link"),
        (link("b.txt", tarfile.LNKTYPE), "a hard link"),
        (link("b.txt", tarfile.CHRTYPE), "a device"),
        (link("b.txt", tarfile.FIFOTYPE), "a pipe"),
        (link("b.txt", b"Z"), "of unknown kind"),
    ],
)
def test_members_that_could_leave_the_archive_are_refused_and_counted(tmp_path, member, why):
    found = shard(tmp_path, [("a.txt", b"good"), member, ("c.txt", b"good too")])
    good = [fields for fields in raws(found) if "text" in fields]
    assert [fields["text"] for fields in good] == ["good", "good too"]
    assert bads(found) == [(2, "unsafe_member")]
    assert why in next(item.detail for item in found if hasattr(item, "detail"))
    # Nothing was written anywhere.
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert [path.name for path in tmp_path.parent.iterdir() if path.name.startswith("b.")] == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([("b.json", b"{")], "broken_json"),
        ([("b.json", b"[1]")], "wrong_type"),
        ([("b.txt", b"\xff")], "invalid_utf8"),
        ([("b.title", b"\xff")], "invalid_utf8"),
        ([("b.txt", b"1"), ("b.txt", b"2")], "duplicate_member"),
        ([("b.txt", b"x" * 2000)], "record_too_long"),
        ([("b.txt", b"x" * 1000), ("b.json", b"{" + b" " * 1000 + b"}")], "record_too_long"),
        ([("b.json.gz", b"\x1f\x8b")], "nested_compression"),
    ],
)
def test_a_bad_record_has_its_reason_and_its_neighbours_pass(tmp_path, content, reason):
    content = [("a.txt", b"good"), *content, ("c.txt", b"good too")]
    found = shard(tmp_path, content, Limits(record_bytes=1999))
    assert [fields["text"] for fields in raws(found)] == ["good", "good too"]
    assert bads(found) == [(2, reason)]


def test_a_large_member_of_another_kind_is_passed_over(tmp_path):
    found = shard(tmp_path, [*ONE, ("a.mp4", b"v" * 3_000_000)], Limits(record_bytes=2000))
    assert raws(found) == [{"url": "https://a.example/", "text": "é", "id": "a"}]


def test_an_archive_without_its_end_is_whole_and_one_with_more_behind_it_is_not(tmp_path):
    data = tar(members())
    end = len(RECORDS) * 2048
    assert data[end : end + 1024] == bytes(1024)
    assert len(raws(read_bytes(tmp_path, "a.tar", data[:end]))) == 9
    found = read_bytes(tmp_path, "a.tar", data + data)
    assert len(raws(found)) == 9
    assert bads(found) == [(10, "damaged_file")]


def test_damage_in_a_header_keeps_the_records_before_it(tmp_path):
    data = bytearray(tar(members()))
    data[2048 * 4 + 20] ^= 1
    found = read_bytes(tmp_path, "a.tar", bytes(data))
    # The fourth may have had members that cannot be seen any more.
    assert [fields["id"] for fields in raws(found)] == ["n0", "n1", "n2"]
    assert bads(found) == [(4, "damaged_file")]


def test_a_header_that_declares_much_is_refused_before_it_is_read(tmp_path):
    info = tarfile.TarInfo("a.txt")
    info.size = 1 << 40
    for kind, reason in ((tarfile.REGTYPE, "truncated_file"), (tarfile.XHDTYPE, "damaged_file")):
        info.type = kind
        data = info.tobuf(tarfile.GNU_FORMAT) + bytes(512)
        assert bads(read_bytes(tmp_path, "a.tar", data)) == [(1, reason)]


def test_fields_of_json_go_through_the_map(tmp_path):
    data = tar([("k.json", json.dumps({"body": {"text": "b"}, "link": "u"}).encode())])
    fields = {"text": "body.text", "url": "link"}
    assert raws(read_bytes(tmp_path, "a.tar", data, fields=fields)) == [
        {"text": "b", "url": "u", "id": "k"}
    ]


def test_what_macos_puts_between_the_members_is_passed_over(tmp_path):
    mac = [("./._1.json", b"\0\5\x16\7"), (".DS_Store", b"\0"), ("__MACOSX/1.txt", b"no")]
    own = [("1.json", b'{"url": "https://a.ke/1"}'), ("1.txt", b"Rain fell.")]
    data = tar([mac[0], own[0], *mac[1:], ("./._1.txt", b"\0\5\x16\7"), own[1]])
    found = read_bytes(tmp_path, "a.tar", data)
    assert (len(found), raws(found)[0]["text"]) == (1, "Rain fell.")


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE])
def test_a_size_of_what_has_no_content_is_not_passed_over(tmp_path, kind):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        other = tarfile.TarInfo("folder")
        other.type, other.size = kind, 4096
        archive.addfile(other)
        for number in range(6):
            member = tarfile.TarInfo(f"folder/{number}.txt")
            member.size = 4
            archive.addfile(member, io.BytesIO(b"Rain"))
    found = raws(read_bytes(tmp_path, "a.tar", out.getvalue()))
    assert [each["id"] for each in found if "text" in each] == [f"folder/{n}" for n in range(6)]
