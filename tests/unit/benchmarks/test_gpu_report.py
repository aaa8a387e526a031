"""The report of a lent GPU: what is carried there, and what its stages leave behind."""

import ast
import json
import struct
import subprocess
import sys
import tomllib
import zipfile

import pytest

from benchmarks.calling import kept
from benchmarks.gpu_report.fatbin import containers, prune
from benchmarks.gpu_report.prepare import LIMIT_MIB, prepare, prune_wheel
from benchmarks.gpu_report.run import run
from benchmarks.gpu_report.stages import ROOT, Stage, stages
from benchmarks.results import Row
from geo_nemo.common.errors import UserError

PTX, CUBIN = 1, 2
# What .pth files of an environment import by themselves.
INSTALLED = {"distutils-precedence", "sphinxcontrib", "google", "mpl_toolkits"}
BY_CHANCE = struct.pack("<IHHQ", 0xBA55ED50, 7, 16, 8)  # the magic number, in other data


def container(*programs: tuple[int, int, bytes]) -> bytes:
    """A fat binary of (kind, chip, program)."""
    entries = b""
    for kind, chip, program in programs:
        header = struct.pack("<HHIQI", kind, 1, 64, len(program), 0).ljust(28, b"\0")
        entries += (header + struct.pack("<I", chip)).ljust(64, b"\0") + program
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries


ONE = container((CUBIN, 80, b"ampere!!"), (CUBIN, 90, b"hopper"), (PTX, 90, b"portable"))
OTHER = container((CUBIN, 80, b"alone"))
LIBRARY = b"\x7fELF" + BY_CHANCE + ONE + b"between" + OTHER + b"end"


def test_code_of_other_chips_becomes_zeros_in_its_place():
    library = bytearray(LIBRARY)
    assert prune(library, 90) == (len(b"ampere!!portable"), len(b"hopperalone"))
    assert len(library) == len(LIBRARY)
    assert b"hopper" in library and b"between" in library
    assert b"ampere" not in library and b"portable" not in library
    assert b"alone" in library, "a container without code for the chip stays whole"
    kinds = [[(each.kind, each.chip) for each in found] for found in containers(library)]
    assert kinds == [[(CUBIN, 80), (CUBIN, 90), (PTX, 90)], [(CUBIN, 80)]]
    assert [a for a, b in zip(library, LIBRARY, strict=True) if a != b] == [0] * 16


def test_another_format_is_an_error_and_nothing_is_zeroed_by_guess():
    broken = bytearray(ONE)
    broken[16 + 8 : 16 + 16] = struct.pack("<Q", 1 << 40)  # a program longer than its container
    with pytest.raises(ValueError, match="another format"):
        prune(broken, 90)


def test_a_wheel_is_pruned_and_its_record_has_the_new_hash(tmp_path):
    whole, pruned = tmp_path / "whole.whl", tmp_path / "pruned.whl"
    with zipfile.ZipFile(whole, "w") as wheel:
        wheel.writestr("engine/lib.so", LIBRARY)
        wheel.writestr("engine/__init__.py", "x = 1\n")
        record = f"engine/lib.so,sha256=old,{len(LIBRARY)}\nengine/__init__.py,sha256=kept,6\n"
        wheel.writestr("engine-1.dist-info/RECORD", record)
    assert prune_wheel(whole, pruned, 90) == (16, 11)
    with zipfile.ZipFile(pruned) as wheel:
        assert wheel.namelist() == zipfile.ZipFile(whole).namelist()
        lines = wheel.read("engine-1.dist-info/RECORD").decode().splitlines()
        assert wheel.read("engine/__init__.py") == b"x = 1\n"
        assert b"hopper" in wheel.read("engine/lib.so")
    assert lines[1] == "engine/__init__.py,sha256=kept,6"
    assert "old" not in lines[0] and lines[0].endswith(f",{len(LIBRARY)}")


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        prepare(tmp_path)
    assert LIMIT_MIB < 64, "what may be carried"


def python(code: str, seconds: int = 20, **more) -> Stage:
    command = (sys.executable, "-c", code)
    return Stage(code[:20], command, seconds, needs=0, **more)


def test_no_stage_stops_the_next_and_each_is_told(tmp_path):
    outcomes = run(
        [
            python("print('3 passed, 1 skipped in 0.1s')"),
            python("import sys; print('1 failed | 2 passed'); sys.exit(1)"),
            python("import time; print('begun', flush=True); time.sleep(60)", seconds=2),
            python("print('late', chr(0x2502)); print(chr(0x2514))", emulated=("never",)),
            Stage("long", ("never",), 90, needs=10_000),
        ],
        tmp_path / "site", tmp_path / "out", seconds=120, dry=False,
    )  # fmt: skip
    statuses = [each.status for each in outcomes]
    assert statuses == ["passed", "failed", "timed out", "passed", "left out"]
    assert outcomes[0].counts == {"passed": 3, "skipped": 1}
    assert outcomes[1].counts == {"failed": 1, "passed": 2}
    assert outcomes[2].said == "begun" and 2 <= outcomes[2].seconds < 20
    assert outcomes[3].said == "late", "the frame of a table says nothing"
    assert outcomes[4].said.endswith("s were left")
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [each["status"] for each in told["stages"]] == statuses and not told["dry"]
    text = (tmp_path / "out" / "report.md").read_text()
    assert text.startswith("## One GPU (`make gpu-report`, ")
    assert "| 1 failed / 2 passed |" in text, "a bar would be another column"
    assert len(list((tmp_path / "out").glob("*.log"))) == 4


def test_what_does_not_start_stops_no_other(tmp_path):
    outcomes = run(
        [Stage("absent", (str(tmp_path / "none"),), 9, needs=0), python("print('next')")],
        tmp_path, tmp_path, seconds=60, dry=False,
    )  # fmt: skip
    assert [each.status for each in outcomes] == ["failed", "passed"]
    assert "none did not start: " in outcomes[0].said


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
QUIET = PROJECT["tool"]["pytest"]["ini_options"]["addopts"]


@pytest.mark.very_slow
def test_what_was_measured_stands_in_the_summary(tmp_path):
    """Figures of tests that passed, which pytest shows when it is asked to, and the machine."""
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = {QUIET}\n")
    test = tmp_path / "test_it.py"
    test.write_text("def test_it():\n    print('figure: a layer keeps 12 | 13 bytes')\n")
    words = [word for word in stages_by_name(tmp_path)["model"].command if "tests/" not in word]
    machine = Stage("machine", (sys.executable, "-c", "print('one chip; torch 2')"), 20)
    outcomes = run(
        [machine, Stage("test", (*words, str(test)), 60)], tmp_path, tmp_path / "out", 90, False
    )
    assert outcomes[1].figures == ["a layer keeps 12 | 13 bytes"]
    assert outcomes[1].counts == {"passed": 1}
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Machine: one chip; torch 2.\n" in text
    assert "| test | a layer keeps 12 / 13 bytes |" in text


def stages_by_name(folder) -> dict[str, Stage]:
    return {each.name: each for each in stages(folder, folder / "site", folder / "out")}


def test_speeds_stand_in_the_summary_as_far_as_their_stage_came(tmp_path):
    """In the form that `benchmarks gpu --json` writes, row by row."""

    def coming():
        yield Row("tokens_per_second", "1b, bf16", 12345.6, "tokens/s", "plain", 1e4, 1.23, "x")
        yield Row("mfu", "1b, bf16", 0.4567, "of the peak", "-", None, None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(coming(), tmp_path / "gpu.json")
    run([python("print('done')")], tmp_path, tmp_path, seconds=60, dry=False)
    text = (tmp_path / "report.md").read_text()
    assert (
        "| tokens_per_second | 1b, bf16 | 12,346 | tokens/s | plain | 10,000 | 1.23 | x |" in text
    )
    assert "| mfu | 1b, bf16 | 0.4567 | of the peak | - |  |  |  |" in text


@pytest.mark.parametrize("damaged", ["", "{}", "[1, 2]", "[{"])
def test_speeds_that_cannot_be_read_lose_nothing_else(tmp_path, damaged):
    (tmp_path / "gpu.json").write_text(damaged)
    run([python("print('done')")], tmp_path, tmp_path, seconds=60, dry=False)
    assert "| done |" in (tmp_path / "report.md").read_text()


def test_all_stages_fit_into_one_call_and_come_in_the_order_of_what_stops_the_rest(tmp_path):
    """Ten minutes a call; the curves come last, and only where enough is left."""
    every = list(stages(tmp_path, tmp_path / "site", tmp_path / "out"))
    names = [each.name for each in every]
    assert names.index("build") < names.index("one layer, each recipe") < names.index("attention")
    assert names.index("attention") < names.index("model") < names.index("FP8")
    assert names[-1] == "curves" and every[-1].needs >= 90
    assert all(each.emulated or each.left_out for each in every)


def test_before_packages_are_installed_the_command_needs_click_alone():
    code = (
        "import sys, benchmarks.__main__, benchmarks.gpu_report.command\n"
        "names = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(name for name in names if not name.startswith('_')))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {"benchmarks", "click", "geo_nemo"} == set(ast.literal_eval(done.stdout)) - INSTALLED


def test_without_a_folder_the_run_says_how_it_is_made(tmp_path):
    from click.testing import CliRunner

    from benchmarks.gpu_report.command import command

    result = CliRunner().invoke(command, ["run", str(tmp_path / "none")])
    assert isinstance(result.exception, UserError)
    assert "gpu_report prepare" in str(result.exception)
