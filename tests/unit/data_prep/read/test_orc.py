"""ORC files are read by a process beside this one, which their damage may take down."""

import datetime
import io
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.orc
import pytest
import xxhash

from data_prep.beside import environment
from data_prep.config import FieldMap, Limits
from data_prep.read import orc
from geo_nemo.common.errors import RunError
from tests.unit.data_prep.read import samples
from tests.unit.data_prep.read.samples import RECORDS, bads, raws, read, read_bytes


def written(table, **options) -> bytes:
    out = io.BytesIO()
    pyarrow.orc.write_table(table, out, **options)
    return out.getvalue()


def test_rows_numbers_digest_and_sizes(tmp_path):
    data = written(pa.Table.from_pylist(RECORDS), compression="zstd")
    (tmp_path / "part-0").write_bytes(data)  # the bytes tell the format
    found, reader = read(tmp_path / "part-0")
    assert raws(found) == RECORDS and [item.number for item in found] == list(range(1, 10))
    assert reader.digest == xxhash.xxh3_128_hexdigest(data)
    assert (reader.bytes_read, reader.text_bytes > 500) == (len(data), True)
    assert reader.seen == tuple(RECORDS[0])


def test_columns_of_other_names_in_structs_of_types_that_orc_has(tmp_path):
    news = {
        "Link": pa.array(["https://a.example/", b"https://b.example/"], pa.binary()),
        "doc": pa.array([{"body": "é", "n": 1}, {"body": None, "n": 2}]),
        "day": pa.array([datetime.date(2024, 5, 2), None]),
        "unused": pa.array([[{"a": 1.5}], None]),
        "id": pa.array([7, None], pa.int64()),
    }
    fields = FieldMap(url="link", text="doc.body", date="day")
    first, second = raws(read_bytes(tmp_path, "a.orc", written(pa.table(news)), fields=fields))
    assert first == {"url": "https://a.example/", "text": "é", "date": "2024-05-02", "id": 7}
    assert second == {"url": "https://b.example/"}
    found = read_bytes(tmp_path, "b.orc", written(pa.table(news)))
    assert bads(found) == [(0, "missing_text")] and "'doc.body'" in found[0].detail


def test_a_row_over_the_limit_is_set_aside(tmp_path):
    table = pa.table({"text": ["a", "b" * 9000, "c"]})
    found = read_bytes(tmp_path, "a.orc", written(table), Limits(record_bytes=5000))
    assert [fields["text"] for fields in raws(found)] == ["a", "c"]
    assert bads(found) == [(2, "record_too_long")]


def test_stripes_before_damage_are_kept_and_its_reason_is_pyarrow_s(tmp_path):
    rows = 20_000
    table = pa.table({"text": [f"{xxhash.xxh3_64_hexdigest(b'%d' % n)} {n}" for n in range(rows)]})
    data = written(table, stripe_size=1 << 16, compression="zlib", batch_size=1000)
    stripes = pyarrow.orc.ORCFile(io.BytesIO(data)).nstripes
    assert stripes > 2
    at = len(data) * 3 // 4
    early = read_bytes(tmp_path, "b.orc", data[:99] + bytes(64) + data[163:])
    assert (raws(early), bads(early)) == ([], [(1, "damaged_file")])
    found = read_bytes(tmp_path, "a.orc", data[:at] + bytes(64) + data[at + 64 :])
    good = raws(found)
    assert rows // 2 < len(good) < rows and good[-1]["text"].endswith(f" {len(good) - 1}")
    assert bads(found) == [(len(good) + 1, "damaged_file")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"ORC" + bytes(90), "damaged_file"),
        (written(pa.table({"text": pa.array([], pa.string())})), "empty_file"),
    ],
)  # fmt: skip
def test_a_file_without_rows_is_a_lost_one(tmp_path, data, reason):
    assert bads(read_bytes(tmp_path, "a.orc", data)) == [(0, reason)]


def test_a_reader_that_crashes_costs_its_file_alone(tmp_path, monkeypatch):
    (tmp_path / "worker.py").write_text("import os\nos.write(1, b'x')\nos.abort()")
    monkeypatch.setattr(orc, "_SCRIPT", tmp_path / "worker.py")
    found = read_bytes(tmp_path, "a.orc", written(pa.Table.from_pylist(RECORDS)))
    assert bads(found) == [(0, "damaged_file")] and "ended with -6" in found[0].detail


def test_a_reader_that_does_not_start_is_no_fault_of_the_files(tmp_path, monkeypatch):
    (tmp_path / "worker.py").write_text("import no_such_package")
    monkeypatch.setattr(orc, "_SCRIPT", tmp_path / "worker.py")
    with pytest.raises(RunError, match=r"ORC files does not start: ModuleNotFoundError: .*no_such"):
        read_bytes(tmp_path, "a.orc", written(pa.Table.from_pylist(RECORDS)))


def test_it_starts_without_what_is_slow_and_with_what_is_imported_here(tmp_path, monkeypatch):
    """What it imports beside pyarrow is Python's own, and `data_prep.beside`."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert raws(read_bytes(tmp_path, "a.orc", written(pa.Table.from_pylist(RECORDS)))) == RECORDS
    code = (
        "import sys, pyarrow.orc; before = set(sys.modules)\n"
        "import runpy; runpy.run_path(sys.argv.pop(), run_name='orc_worker')\n"
        "new = {name for name in set(sys.modules) - before if not name.startswith('_')}\n"
        "print(*sorted(name for name in new if name.partition('.')[0] not in\n"
        "             {*sys.stdlib_module_names}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(orc._SCRIPT)], capture_output=True, text=True,
        env=environment(),
    )  # fmt: skip
    wanted = "data_prep data_prep.beside geo_nemo geo_nemo.common geo_nemo.common.errors"
    assert done.stdout.split() == wanted.split(), done.stderr


def test_memory_and_core_files_of_a_process_are_limited_in_one_place():
    code = (
        "import resource; from data_prep.beside import lower_limits; lower_limits()\n"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CORE))"
    )
    allowed = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = 4 << 30 if allowed == resource.RLIM_INFINITY else min(4 << 30, allowed)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment()
    )
    assert done.stdout == f"{most} (0, 0)\n", done.stderr
    here = Path(orc.__file__).parent
    assert not [path.name for path in here.rglob("*.py") if "setrlimit" in path.read_text()]


def test_packed_by_another_program_it_is_refused(tmp_path):
    data = samples.gzip.compress(written(pa.Table.from_pylist(RECORDS)))
    assert bads(read_bytes(tmp_path, "a.orc.gz", data)) == [(0, "unknown_format")]
