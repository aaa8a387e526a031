"""`python tests/support/mutants.py`: each fault that mutmut plants, and whether a test notices it.

mutmut writes all faults into one copy of the code, where a name chooses one. Here the tests are
collected once; each fault is a fork of that process, which runs the tests that meet its function
until one fails: those first that noticed other faults of it, then the quickest of each kind. What
was found is kept in mutants/found.jsonl, and a later call goes on from it.
"""

import argparse
import fnmatch
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import pytest
from _pytest.fixtures import FixtureDef
from _pytest.runner import runtestprotocol
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.format_utils import mangled_name_from_mutant_name
from survivors import Fault, Reasons, fault_of

REASONS = Path("../tests/mutants.yaml")
FOUND = Path("found.jsonl")
NOTICED, SURVIVED, UNTESTED = "noticed", "survived", "no test"
# CPU seconds of a test, seconds of a fault, and bytes.
TEST_LIMIT, FAULT_LIMIT, MEMORY_LIMIT = 30, 1800, 12 << 30


class Judge:
    """A pytest plugin: in place of the tests, every fault against those that meet it."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.seconds: dict[str, float] = {}
        self.meets: dict[str, set[str]] = defaultdict(set)
        # By function: how many of its faults each test has noticed before.
        self.noticed: dict[str, Counter[str]] = defaultdict(Counter)
        self.complaint = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _keep_fixtures()
        self._learn(session.items)
        if not self.complaint and not session.testsfailed:
            self._judge({item.nodeid: item for item in session.items})
        return True

    def _learn(self, items: list[pytest.Item]) -> None:
        """Which functions each test meets, and its CPU seconds; every test must pass."""
        set_mutant_under_test("stats")
        for item in items:
            state()._stats.clear()
            started = time.process_time()
            failed = _failed(item)
            self.seconds[item.nodeid] = time.process_time() - started
            if failed:
                self.complaint = f"{item.nodeid} fails without a fault"
                return
            for function in state()._stats:
                self.meets[function].add(item.nodeid)
        set_mutant_under_test("")
        print(f"{len(items)} tests, {sum(self.seconds.values()):.0f} s", file=sys.__stderr__)

    def _judge(self, items: dict[str, pytest.Item]) -> None:
        before, options = _found(), self.options
        for line in before.values():
            if line["result"] == NOTICED:
                self.noticed[mangled_name_from_mutant_name(line["name"])][line["test"]] += 1
        names = [name for name in _mutants() if _is_wanted(name, options, before)]
        random.Random(options.seed).shuffle(names)
        names = names[: options.sample]
        for number, name in enumerate(names, 1):
            tests, whole = self._order(name)
            started = time.monotonic()
            result, test = _fork(name, [items[each] for each in tests])
            seconds = round(time.monotonic() - started, 2)
            line = {"name": name, "result": result, "test": test, "seconds": seconds}
            with FOUND.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line | {"tests": len(tests), "all": whole}) + "\n")
            print(f"{number}/{len(names)} {line}", file=sys.__stderr__, flush=True)

    def _order(self, name: str) -> tuple[list[str], bool]:
        """Tests that meet a fault, in the order of this module, and whether these are all."""
        function = mangled_name_from_mutant_name(name)
        tests = sorted(self.meets.get(function, ()), key=self.seconds.__getitem__)
        kinds: dict[str, str] = {}
        for test in tests:
            kinds.setdefault(test.split("[")[0], test)
        known = [test for test, _ in self.noticed[function].most_common() if test in self.seconds]
        order, spent = [], 0.0
        for test in dict.fromkeys([*known, *kinds.values(), *tests]):
            spent += self.seconds[test]
            if order and spent > self.options.budget:
                break
            order.append(test)
        return order, len(order) == len(tests)


def _keep_fixtures() -> None:
    """Let fixtures of modules be made once, in the process that forks: no fault is in them."""
    execute, finish = FixtureDef.execute, FixtureDef.finish
    executing: list[FixtureDef] = []

    def execute_and_tell(self, request):
        executing.append(self)
        try:
            return execute(self, request)
        finally:
            executing.pop()

    def finish_if_needed(self, request):
        if self.scope == "function" or self in executing:
            finish(self, request)

    FixtureDef.execute, FixtureDef.finish = execute_and_tell, finish_if_needed


def _fork(name: str, items: list[pytest.Item]) -> tuple[str, str]:
    """What a fault came to, and the test that noticed it."""
    if not items:
        return UNTESTED, ""
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    told = folder / "test"
    child = os.fork()
    if not child:
        _be_faulty(name, items, folder, told)
    _, status = os.waitpid(child, 0)
    test = told.read_text(encoding="utf-8") if status else ""
    shutil.rmtree(folder, ignore_errors=True)
    return (NOTICED if status else SURVIVED), test


def _be_faulty(name: str, items: list[pytest.Item], folder: Path, told: Path) -> NoReturn:
    """Run tests under a fault, and end this process: with 0 where none notices it."""
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
        for number in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(FAULT_LIMIT)
        items[0].config._tmp_path_factory._basetemp = folder
        set_mutant_under_test(name)
        for item in items:
            told.write_text(item.nodeid, encoding="utf-8")
            signal.setitimer(signal.ITIMER_PROF, TEST_LIMIT)
            if _failed(item):
                break
        else:
            code = 0
    finally:
        os._exit(code)


def _failed(item: pytest.Item) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _found() -> dict[str, dict]:
    """What was found before, by name; of one that was tried again the last."""
    if not FOUND.exists():
        return {}
    return {line["name"]: line for line in map(json.loads, FOUND.read_text().splitlines())}


def _is_wanted(name: str, options: argparse.Namespace, before: dict[str, dict]) -> bool:
    if options.names and not any(fnmatch.fnmatch(name, pattern) for pattern in options.names):
        return False
    if name not in before:
        return True
    return options.again and before[name]["result"] != NOTICED and _reason(name)[1] is None


@lru_cache
def _reasons() -> Reasons:
    return Reasons.read(REASONS)


def _reason(name: str) -> tuple[Fault, str | None]:
    """What a fault changes, and why it may stay, None where nobody knows."""
    fault = fault_of(Path(), name)
    return fault, _reasons().of(fault)


def _mutants() -> list[str]:
    metas = sorted(Path("geo_nemo").rglob("*.py.meta"))
    return [name for meta in metas for name in json.loads(meta.read_text())["exit_code_by_key"]]


def _plant() -> None:
    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.store_lines_covered_by_tests()
    mutmut.create_mutants(1)


def _tell() -> None:
    """Counts by module, each reason with its faults' number, and the faults without one."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    found, mutants = _found(), _mutants()
    for name in mutants:
        counts[name.split(".x")[0]][found[name]["result"] if name in found else "not run"] += 1
    for module, results in sorted(counts.items()):
        print(module, dict(results))
    left = [name for name in mutants if name in found and found[name]["result"] != NOTICED]
    told = {name: _reason(name) for name in left}
    for why, number in Counter(why for _, why in told.values() if why).most_common():
        print(f"{number} may stay: {why}")
    for name, (fault, why) in told.items():
        if why is None:
            note = "" if found[name]["all"] else " (not all tests)"
            print(f"{found[name]['result']}{note}: {name}\n  - {fault.was}\n  + {fault.now}")
    unused = set(_reasons().faults) - {fault for fault, _ in told.values()}
    if unused and len(found) == len(mutants):
        print("reasons of faults that are noticed or no longer there:", *unused, sep="\n  ")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python tests/support/mutants.py",
        description=__doc__.split("\n")[0],
        epilog="Example: python tests/support/mutants.py 'geo_nemo.data.draws*' --sample 50",
    )
    parser.add_argument("names", nargs="*", help="patterns of faults; all of them without one")
    parser.add_argument("--sample", type=int, help="so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--budget", type=float, default=1e9, help="CPU seconds of tests a fault")
    parser.add_argument("--again", action="store_true", help="those without a reason, too")
    parser.add_argument("--tell", action="store_true", help="only what was found before")
    options = parser.parse_args()
    if options.tell:
        os.chdir("mutants")
        _tell()
        return
    # Behind all others: only processes that tests start, which import this file, look here.
    sys.path.append(sys.path.pop(0))
    _plant()
    arguments = [*config().pytest_add_cli_args, *config().pytest_add_cli_args_test_selection]
    os.chdir("mutants")
    judge = Judge(options)
    code = pytest.main(["--rootdir=.", "-q", *arguments], plugins=[judge])
    if code not in (0, 5) or judge.complaint:
        raise SystemExit(judge.complaint or f"pytest ended with {code}")
    _tell()


if __name__ == "__main__":
    main()
