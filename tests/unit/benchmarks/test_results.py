"""A row's ratio is above 1 where ours is better, and the table and JSON hold every row."""

import io

import orjson
import pytest
from rich.console import Console

from benchmarks.machine import installed, machine_facts
from benchmarks.results import compare, figure, print_table, write_json
from geo_nemo.common.errors import UserError

FAST = compare("tokenise", 90.0, "MB/s", "Slow", 2.0, "more", case="news", note="same ids")
LEAN = compare("store", 2.0, "s", "Heavy", 5.0, "less")
ABSENT = compare("urls", 1.5, "s", "Nobody", None, "less", note="never read")
MACHINE = {"cpu": "abacus", "cores": 2}


def test_a_ratio_says_how_many_times_better_ours_is_whichever_way_the_unit_counts():
    assert FAST.ratio == 45.0
    assert LEAN.ratio == 2.5
    assert compare("m", 1.0, "MB/s", "p", 2.0, "more").ratio == 0.5
    assert compare("m", 2.0, "s", "p", 1.0, "less").ratio == 0.5


def test_a_value_of_nothing_has_no_ratio():
    assert compare("m", 0.0, "s", "p", 1.0, "less").ratio is None
    assert compare("m", 1.0, "s", "p", None, "less").ratio is None


def test_a_peer_that_is_missing_is_said_to_be():
    assert (ABSENT.peer, ABSENT.peer_value, ABSENT.ratio) == ("Nobody", None, None)
    assert ABSENT.note == "not installed"
    assert compare("m", 1.0, "s", "p", None, "less", reason="failed: no").note == "failed: no"


def test_the_json_is_a_list_of_rows_with_the_machine(tmp_path):
    write_json(tmp_path / "new" / "rows.json", [FAST, ABSENT], MACHINE)
    assert orjson.loads((tmp_path / "new" / "rows.json").read_bytes()) == [
        {
            "metric": "tokenise", "case": "news", "value": 90.0, "unit": "MB/s", "peer": "Slow",
            "peer_value": 2.0, "ratio": 45.0, "note": "same ids", "machine": MACHINE,
        },
        {
            "metric": "urls", "case": "", "value": 1.5, "unit": "s", "peer": "Nobody",
            "peer_value": None, "ratio": None, "note": "not installed", "machine": MACHINE,
        },
    ]  # fmt: skip


def test_json_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_json(tmp_path / "file" / "rows.json", [FAST], MACHINE)


def test_the_table_shows_every_row_its_ratio_and_the_machine():
    out = io.StringIO()
    print_table("title", [FAST, LEAN, ABSENT], MACHINE, Console(file=out, width=160))
    lines = out.getvalue().splitlines()
    shown = {line.split()[1]: line for line in lines if "│" in line}
    cells = {name: [cell.strip() for cell in line.split("│")[1:-1]] for name, line in shown.items()}
    assert cells == {
        "tokenise": ["tokenise", "news", "90", "MB/s", "Slow", "2", "45x", "1"],
        "store": ["store", "", "2", "s", "Heavy", "5", "2.5x", ""],
        "urls": ["urls", "", "1.5", "s", "Nobody", "-", "-", "2"],
    }
    assert lines[-4:] == ["  1  same ids", "  2  not installed", "", "cpu abacus, cores 2"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0, "0"), (0.01234, "0.0123"), (1.0, "1"), (12.345, "12.3"), (123.4, "123"),
     (999.6, "1,000"), (1234567.0, "1,230,000")],
)  # fmt: skip
def test_figures_have_three_digits(value, shown):
    assert figure(value) == shown


def test_the_machine_s_facts_name_processor_cores_and_libraries():
    facts = machine_facts()
    assert facts["cores"] >= 1 and facts["memory_gib"] >= 1 and facts["cpu"]
    assert facts["numpy"][0].isdigit()
    assert installed("no-such-distribution") is None
