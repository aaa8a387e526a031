"""Small valid files of every format, made of the same records, and how tests read a file."""

import csv
import gzip
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from data_prep.config import Limits, Source
from data_prep.read import Bad, Raw, list_files, open_reader

RECORDS = [
    {
        "id": f"n{i}",
        "url": f"https://news.example/{i}",
        "title": f"Title {i}",
        "text": f'First line {i}, "quoted".\nSecond line: 12 € for {"tea " * (i % 4)}é.',
        "country": ("gb", "ie", "in")[i % 3],
        "date": f"2024-05-{i + 1:02}",
    }
    for i in range(9)
]
PAGE = (
    '<!DOCTYPE html><html><head><meta charset="utf-8"><title>Title {i} | The Outlet</title>'
    '<meta property="og:title" content="Title {i}">'
    '<meta property="article:published_time" content="2024-05-0{day}T10:00:00+01:00"></head>'
    "<body><nav><a href='/'>Home</a><a href='/news'>News</a></nav><article><h1>Title {i}</h1>"
    "<p>The first paragraph of story {i} tells what happened in the town of É.</p>"
    "<p>The second one tells why, at some length, and whom it may concern.</p></article>"
    "<footer>Copyright</footer></body></html>"
)


def jsonl(records=RECORDS) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def comma(records=RECORDS) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue().encode()


def parquet(table=None, **options) -> bytes:
    out = io.BytesIO()
    table = pa.Table.from_pylist(RECORDS) if table is None else table
    pq.write_table(table, out, **({"row_group_size": 3} | options))
    return out.getvalue()


def arrow(table=None, kind="stream", compression=None, rows=3) -> bytes:
    out = io.BytesIO()
    table = pa.Table.from_pylist(RECORDS) if table is None else table
    options = pa.ipc.IpcWriteOptions(compression=compression)
    new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with new(out, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return out.getvalue()


def odd_types() -> pa.Table:
    """The same records in types that other writers choose."""
    table = pa.Table.from_pylist(RECORDS)
    types = {
        "id": pa.large_string(),
        "url": pa.binary(),
        "title": pa.dictionary(pa.int8(), pa.string()),
        "text": pa.large_binary(),
        "country": pa.dictionary(pa.int32(), pa.large_string()),
        "date": pa.date32(),
    }
    return pa.table({name: table[name].cast(kind) for name, kind in types.items()})


def tar(members, kind=tarfile.PAX_FORMAT) -> bytes:
    """members: (name, content), or TarInfo for what has none."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def members(records=RECORDS):
    for record in records:
        rest = {name: value for name, value in record.items() if name not in ("text", "id")}
        yield f"{record['id']}.json", json.dumps(rest).encode()
        yield f"{record['id']}.txt", record["text"].encode()


def webdataset(records=RECORDS) -> bytes:
    return tar(members(records))


def warc_record(block: bytes, kind="response", number=0, **headers) -> bytes:
    fields = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{number:032}>",
        "WARC-Target-URI": f"https://news.example/{number}",
        "WARC-Date": "2024-06-01T12:00:00Z",
        "Content-Type": "text/plain" if kind == "conversion" else "application/http",
        "Content-Length": str(len(block)),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + block + b"\r\n\r\n"


def response(body: bytes, status="200 OK", kind="text/html; charset=utf-8", more="") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}\r\n".encode() + body


def warc_records(count=3) -> list[bytes]:
    return [
        warc_record(response(PAGE.format(i=i, day=i + 1).encode()), number=i) for i in range(count)
    ]


def warc(count=3) -> bytes:
    return warc_record(b"software: none\r\n", "warcinfo") + b"".join(warc_records(count))


def wet_records(count=6) -> list[bytes]:
    return [
        warc_record(f"Story {i}\nwith é and more text.".encode(), "conversion", i)
        for i in range(count)
    ]


def wet() -> bytes:
    return b"".join(wet_records())


def every_format() -> dict[str, bytes]:
    """File names and contents."""
    return {
        "a.jsonl": jsonl(),
        "a.jsonl.gz": gzip.compress(jsonl(), mtime=0),
        "a.jsonl.zst": zstandard.compress(jsonl()),
        "a.parquet": parquet(),
        "zstd.parquet": parquet(compression="zstd", data_page_version="2.0"),
        "stream.arrow": arrow(),
        "file.arrow": arrow(kind="file", compression="zstd"),
        "lz4.arrow": arrow(compression="lz4"),
        "dictionary.arrow": arrow(odd_types()),
        "odd.parquet": parquet(odd_types(), use_dictionary=False, compression="gzip"),
        "a.csv": comma(),
        "a.csv.gz": gzip.compress(comma(), mtime=0),
        "a.tar": webdataset(),
        "a.tar.gz": gzip.compress(webdataset(), mtime=0),
        "a.tar.zst": zstandard.compress(webdataset()),
        "a.warc": warc(),
        "a.warc.gz": b"".join(gzip.compress(record, mtime=0) for record in warc_records()),
        "a.warc.wet": wet(),
        "a.warc.wet.gz": gzip.compress(wet(), mtime=0),
    }


def read(path: Path | str, limits=None, **source):
    """(what a file gives, its reader)."""
    (file,) = list_files(Source(path=str(path), **source))
    reader = open_reader(file, limits or Limits())
    return list(reader), reader


def read_bytes(tmp_path: Path, name: str, data: bytes, limits=None, **source):
    """What a file of these bytes gives."""
    path = tmp_path / name
    path.write_bytes(data)
    return read(path, limits, **source)[0]


def raws(found) -> list[dict]:
    return [item.fields for item in found if isinstance(item, Raw)]


def bads(found) -> list[tuple[int, str]]:
    return [(item.number, item.reason) for item in found if isinstance(item, Bad)]
