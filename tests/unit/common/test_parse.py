"""What a user or a crash can have damaged is read in one way, and never ends in a traceback."""

import ast
from pathlib import Path

import pytest

from benchmarks.experiment.before import MADE, _carry_out
from benchmarks.experiment.figures import read_lines
from benchmarks.experiment.schema import read_experiment
from benchmarks.experiment.work import TIMES, Processes, counted
from eval.report.inputs import read_run
from geo_nemo.cli.sampling import generation_settings
from geo_nemo.common.errors import UserError
from geo_nemo.common.lines import keep_lines
from geo_nemo.common.parse import parse_json, parse_yaml
from geo_nemo.config.newest import with_newest
from geo_nemo.config.tune import load_tune
from geo_nemo.data.index.read import DamagedIndex, open_index
from geo_nemo.train.checkpoint.files import RECORD, shape_problem
from geo_nemo.train.ending import NAME as END
from geo_nemo.train.ending import has_told
from geo_nemo.train.run_record import earlier_sessions

ROOT = Path(__file__).parents[3]
DEEP = "[" * 200_000
# Of YAML, whose reader takes a time that grows with the square of it.
DEEP_YAML = "[" * 500
# Where Python's own readers are called: file, and why it may.
OWN = {
    "geo_nemo/common/parse.py": "is the one place",
    "geo_nemo/common/seal.py": "reads what it has just written",
    "geo_nemo/generate/output.py": "reads what it has just written",
    "data_prep/read/jsonl.py": "reads with settings of its own, and catches all of it",
    "data_prep/read/linked_data.py": "reads with settings of its own, and catches all of it",
    "data_prep/read/orc_worker.py": "a line of the process that started it",
}


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 200_000, "{", "", b"\xff", "9" * 5000])
def test_json_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)


# Then a day that no calendar has, a whole number without a digit, and tags that do not fit.
@pytest.mark.parametrize(
    "text",
    [
        DEEP_YAML, "a: [", "a: b: c", b"\xff\xfe\x00", "2024-13-45", "0x_",
        '!!int ""', "!!bool x", "!!timestamp x", "a: 1\nb: 2\na: 3", "a: {b: 1, b: 2}",
    ],
)  # fmt: skip
def test_yaml_that_is_none_is_a_value_error_of_a_line(text):
    with pytest.raises(ValueError) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_values_are_as_written():
    assert parse_json(b'{"a": [1, null]}') == {"a": [1, None]}
    assert parse_yaml("a: [1, ~]") == {"a": [1, None]}
    assert parse_yaml("1: a\n'1': b\n") == {1: "a", "1": "b"}
    assert parse_yaml("a: &a {b: 1}\nc: {<<: *a, b: 2}")["c"] == {"b": 2}


def test_nothing_else_reads_json_or_yaml():
    found = set()
    for package in ("geo_nemo", "data_prep", "eval", "benchmarks/experiment"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text if "json.load" in text or "yaml." in text else "")
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    called = (node.value.id, node.attr)
                    if called[0] in ("json", "yaml") and "load" in called[1]:
                        found.add(str(path.relative_to(ROOT)))
    assert found == set(OWN)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_records_of_a_run_are_one_line_or_as_if_absent(tmp_path):
    for text in (DEEP, "[]", '{"sessions": 3}'):
        written(tmp_path / "run.json", text)
        with pytest.raises(UserError, match="is not a run record"):
            earlier_sessions(tmp_path)
    for text in (DEEP, '{"config": {"stages": null}}'):
        written(tmp_path / "run.json", text)
        values = {"output_dir": str(tmp_path), "stages": {"a": {"metadata": {}}}}
        assert with_newest(values)["stages"]["a"]["metadata"]["cut"]
    written(tmp_path / END, DEEP)
    assert not has_told(tmp_path)
    written(tmp_path / "step_00000001" / RECORD, DEEP)
    assert shape_problem(tmp_path / "step_00000001") == f"{RECORD} is cut off or no record"
    written(tmp_path / "index" / "index.json", DEEP)
    with pytest.raises(DamagedIndex, match="cannot be read"):
        open_index(tmp_path / "index", {}, "<u2", 1, False)


def test_lines_behind_a_damaged_one_are_cut_off_or_named(tmp_path):
    path = written(tmp_path / "metrics.jsonl", f'{{"step": 1}}\n{DEEP}\n{{"step": 2}}\n')
    written(tmp_path / "run.json", "{}")
    with pytest.raises(UserError, match="line 2 is no JSON object"):
        read_run("a", tmp_path)
    keep_lines(path, lambda line: True)
    assert path.read_text() == '{"step": 1}\n'
    path.write_text('{"step": 1}\n[2]\n{"step": 3}\n')
    with pytest.raises(UserError, match="line 2 is no JSON object"):
        read_run("a", tmp_path)


@pytest.mark.parametrize("text", ["2024-13-45", DEEP_YAML, "[1"])
def test_settings_in_yaml_are_one_line(text):
    given = {"others": [f"typical_p={text}"], "samples": 1, "batch_size": 1, "guidance": 1}
    with pytest.raises(UserError, match="give name=value"):
        generation_settings(_Given(given))
    with pytest.raises(UserError, match="cannot read data="):
        load_tune("tune", "model", [f"data={text}"])


class _Given(dict):
    def __missing__(self, name: str) -> None:
        return None


def test_records_of_an_experiment_are_one_line(tmp_path):
    with pytest.raises(UserError, match="is not YAML: it is nested too deep"):
        read_experiment(str(written(tmp_path / "deep.yaml", DEEP_YAML)))
    with pytest.raises(UserError, match=":1 is no finished run: remove the line"):
        read_lines(written(tmp_path / "own.jsonl", f"{DEEP}\n"))
    made = written(tmp_path / "before" / MADE, DEEP)
    with pytest.raises(UserError, match=f"is not JSON; remove {made}"):
        _carry_out({}, made.parent, "", Processes(1))
    times = written(tmp_path / TIMES, DEEP)
    begun = []
    with pytest.raises(UserError, match=f"is not JSON; remove {times}"), counted(tmp_path, "train"):
        begun.append("train")
    assert not begun
