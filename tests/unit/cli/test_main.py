"""The end of a command: what it prints to may take no more."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geo_nemo.cli import main
from geo_nemo.common.errors import RunError, StorageError, UserError
from tests.support.command import call

ROOT = Path(__file__).parents[3]
FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(
    "arguments", [["recipes"], ["recipes", "show", "experiment=demo"], ["--help"]]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_device_under_standard_output_is_one_line(arguments, unbuffered):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "geo_nemo", *arguments],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    line = "geo-nemo: standard output takes no more: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, line)


def test_a_reader_that_goes_away_is_no_error_to_tell():
    process = subprocess.Popen(
        [sys.executable, "-m", "geo_nemo", "recipes", "show", "experiment=demo"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    assert (process.stderr.read(), process.wait(timeout=100)) == ("", 1)
    process.stderr.close()


def test_output_of_a_locale_without_a_character_shows_its_number(monkeypatch):
    for encoding in ("latin-1", "ascii"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        main._take_any_encoding()
        print("Łódź", flush=True)
        shown = stream.buffer.getvalue()
        assert shown.decode(encoding).startswith(r"\u0141") and b"d" in shown


def test_a_bug_is_told_as_python_tells_it_without_passwords(monkeypatch, capsys):
    def connect(*arguments, **options):
        raise ValueError("no server at http://me:hush@h/x")

    monkeypatch.setattr(main, "cli", connect)
    code, _, told = call(monkeypatch, capsys, "recipes")
    assert code == 1 and told.startswith("Traceback (most recent call last):")
    assert told.endswith("ValueError: no server at http://me:***@h/x\n") and "hush" not in told


@pytest.mark.parametrize(
    ("error", "code"), [(UserError("a"), 2), (StorageError("a"), 1), (RunError("a"), 1)]
)
def test_a_mistake_ends_with_2_and_a_failure_with_1(error, code, monkeypatch, capsys):
    def raises(**_):
        raise error

    def ends(code):
        raise SystemExit(code)

    monkeypatch.setattr(main, "cli", raises)
    monkeypatch.setattr(main, "end_process", ends)
    for changes_this_process in ("_take_any_encoding", "use_umask", "_raise_open_files"):
        monkeypatch.setattr(main, changes_this_process, lambda: None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert (ended.value.code, capsys.readouterr().err) == (code, "geo-nemo: a\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "a", "b"], "Missing option '--out'; example: geo-nemo export runs/a --out"),
        (["export"], "Missing argument 'RUN'; example: geo-nemo export runs/a --out runs/a-hf"),
        (["trace", "a", "b"], "unexpected extra argument (b); example: geo-nemo trace runs/news"),
        (["export", "a", "--out"], "Option '--out' requires an argument\n"),
        (["store", "verify", "a", "--workers", "-1"], "'--workers': -1 is not in the range x>=0"),
        (["outlets", "check", "a", "--rows", "-1"], "'--rows': -1 is not in the range x>=0"),
        (["audit", "--sequences", "-1"], "-1 is not in the range x>=0"),
        (["audit", "--check-sequences", "-1"], "-1 is not in the range x>=0"),
        (["allreduce", "--timeout", "0"], "'--timeout': 0 is not in the range x>=1"),
        (["allreduce", "--min-busbw", "-3"], "'--min-busbw': -3.0 is not in the range x>0"),
        (
            ["report", "--compare", "a", "b", "--pool", "c"],
            "--compare prints a table in place of a page: leave --pool out",
        ),
        (["report", "--pool", "c", "--dry-run"], "in place of a page: leave --dry-run out"),
    ],
)
def test_what_is_missing_or_too_many_is_said_with_an_example(arguments, says, monkeypatch, capsys):
    code, printed, told = call(monkeypatch, capsys, *arguments)
    assert (code, printed) == (2, "") and told.count("\n") == 1 and says in told
