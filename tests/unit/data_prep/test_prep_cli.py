"""`geo-nemo prep`: its tables, its dry run, its check of a store, and its exit codes."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.unit.data_prep.worlds import record, records, write_jsonl


def prep(tmp_path, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "geo_nemo", "prep", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"COLUMNS": "100", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    return done.returncode, done.stdout, done.stderr


SETTINGS = ("input=in put.jsonl.gz", "output=out put", "tokenizer.vocab_size=400")


@pytest.fixture
def folder(tmp_path):
    rows = [*records(30), b"{broken", record(99, country="zz")]
    write_jsonl(tmp_path / "in put.jsonl.gz", rows)
    return tmp_path


def test_tables_show_what_was_kept_and_why_not(folder):
    code, out, _ = prep(folder, *SETTINGS)
    assert code == 0
    rows = {
        cells[0]: cells[1:]
        for line in out.splitlines()
        if (cells := re.findall(r"[^│\s]+(?: [^│\s]+)*", line))
    }
    assert rows["read"][0] == "32"
    assert rows["kept"] == ["30", "country by its field 30"]
    assert rows["broken_json"] == ["1", "the line is no JSON"]
    assert rows["unknown_country"][0] == "1"
    assert rows["gb"][0] == "Europe"
    assert [sum(int(rows[c][k]) for c in ("gb", "ke", "us")) for k in (1, 2, 3)] == [
        int(rows["all"][k]) for k in (0, 1, 2)
    ]
    assert sum(int(rows["all"][k]) for k in (0, 1, 2)) == 30
    assert "store: out put/store (hash " in out


def test_dry_run_prints_the_plan_and_writes_nothing(folder):
    code, out, _ = prep(folder, *SETTINGS, "--dry-run")
    assert code == 0
    assert "out put/store: made" in out
    assert not (folder / "out put").exists()


def test_verify_reads_a_whole_store_and_names_what_is_damaged(folder):
    assert prep(folder, *SETTINGS)[0] == 0
    code, out, _ = prep(folder, "--verify", "out put/store")
    assert (code, out.count("whole, 30 documents")) == (0, 1)
    victim = folder / "out put/store/train/00000/body.bin"
    victim.write_bytes(bytes(victim.stat().st_size))
    code, _, error = prep(folder, "--verify", "out put/store")
    assert code == 2
    assert error.splitlines()[-1] == (
        "geo-nemo: out put/store/train/00000/body.bin does not match the manifest's hash; "
        "remove the folder out put/store and run geo-nemo prep again"
    )
    shutil.rmtree(folder / "out put/store")
    assert prep(folder, *SETTINGS)[0] == 0
    assert prep(folder, "--verify", "out put/store")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no value for input, output"),
        (("input=none.jsonl", "output=o"), "input=none.jsonl: no such file"),
        ((*SETTINGS, "tokeniser.path=x"), "tokeniser"),
        ((*SETTINGS, "countries=[gb,fr]"), "no document from fr"),
        ((*SETTINGS, "tokenizer.path=none.model"), "cannot read tokenizer none.model"),
        ((*SETTINGS, "tokenizer.vocab_size=90000"), "set it to "),
        (("--verify", "nowhere"), "no token store at nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(folder, arguments, message):
    code, _, error = prep(folder, *arguments)
    assert code == 2
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not (folder / "out put/store").exists()
