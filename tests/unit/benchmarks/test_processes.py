"""Contenders run in turn, each in its own process, and its children's CPU time is its own."""

import sys

import pytest

from benchmarks.processes import Measured, cpu, in_turn, run, run_module, said, wall
from geo_nemo.common.errors import RunError

BURN = """
import os, time
while time.process_time() < 0.3: pass
print('{"cpu": %f}' % time.process_time())
"""
IN_A_CHILD = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}], check=True)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_cpu_seconds_are_those_of_the_process_and_what_it_says_is_read():
    found = run(python(BURN))
    assert found.cpu_seconds >= found.said["cpu"] >= 0.3
    assert found.wall_seconds >= 0.3


def test_cpu_seconds_of_children_are_counted():
    assert run(python(IN_A_CHILD)).cpu_seconds >= 0.3


def test_a_contender_that_fails_is_named_with_its_last_line():
    with pytest.raises(RunError, match=r"ended with 3: out of luck$"):
        run(python("import sys; print('out of luck', file=sys.stderr); sys.exit(3)"))


def test_a_contender_that_prints_no_json_says_nothing():
    assert run(python("print('[1]'); print('hello')")).said == {}
    assert run(python("print('[1]')")).said == {}
    assert run(python("pass")).said == {}


def test_contenders_have_one_thread_and_this_checkout():
    code = (
        "import os, json, benchmarks\n"
        "print(json.dumps({k: os.environ[k] for k in ('OMP_NUM_THREADS', 'RAYON_NUM_THREADS')}))"
    )
    assert run(python(code)).said == {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def test_a_module_is_run_with_arguments():
    assert run_module("json.tool", "--help").cpu_seconds > 0


def test_contenders_take_turns_and_each_round_another_begins():
    order = []

    def contender(name):
        def measured(number):
            order.append(f"{name}{number}")
            return Measured(float(number), 0.0, {})

        return measured

    found = in_turn({name: contender(name) for name in "abc"}, rounds=4)
    assert order == ["a0", "b0", "c0", "b1", "c1", "a1", "c2", "a2", "b2", "a3", "b3", "c3"]
    assert [run.cpu_seconds for run in found["b"]] == [0, 1, 2, 3]


def failing(name: str, calls: list[str]):
    def measured(number: int) -> Measured:
        calls.append(f"{name}{number}")
        raise RunError("no such option")

    return measured


def test_a_peer_that_fails_is_run_no_more_and_its_reason_is_kept():
    calls, reasons = [], {}
    contenders = {"ours": lambda number: Measured(1, 1, {}), "peer": failing("peer", calls)}
    found = in_turn(contenders, 3, reasons)
    assert found.keys() == {"ours"} and len(found["ours"]) == 3
    assert (calls, reasons) == (["peer0"], {"peer": "failed: no such option"})


def test_ours_must_not_fail():
    with pytest.raises(RunError, match="no such option"):
        in_turn({"ours": failing("ours", [])}, 1, {})
    with pytest.raises(RunError, match="no such option"):
        in_turn({"peer": failing("peer", [])}, 1)


def test_medians_are_taken_over_the_rounds():
    runs = [Measured(c, w, {"x": x}) for c, w, x in ((1, 10, 5), (9, 11, 1), (2, 30, 3))]
    assert (cpu(runs), wall(runs), said(runs, "x")) == (2, 11, 3)


def test_a_long_line_is_read_whole():
    code = "import json; print('noise'); print(json.dumps({str(i): i for i in range(5000)}))"
    assert run(python(code)).said == {str(i): i for i in range(5000)}
