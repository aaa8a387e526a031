"""Rows and packing by metadata policy, beside an older checkout or ours with three fields."""

import json
import shutil
import sys
from pathlib import Path

from benchmarks.loader.ours import policy_rows
from benchmarks.loader.setting import Setting
from benchmarks.processes import OURS, in_turn, run
from benchmarks.results import Row, compare

ROWS = {True: 300, False: 600}  # quick or not
THREE = {"cut": "whole"}
EIGHT = {
    "fields": ["url", "country", "continent", "year", "source", "host", "quality", "date"],
    "forms": {"date": "year"},
    "cut": "whole",
}
POLICIES = {
    OURS: THREE, "as runs began": {}, "eight fields": EIGHT,
    "meco": {"fields": ["url"], "template": "meco"},
}  # fmt: skip
OLDER, OLD_STORE = "older", "meco, its store"


def measure(setting: Setting) -> list[Row]:
    folder = setting.folder / "policies"
    file = Path(policy_rows.__file__)

    def contender(policy: dict, paths=(), store="store"):
        given = (folder / store, json.dumps(policy), str(ROWS[setting.quick]))
        return lambda number: run([sys.executable, file, *given], paths=paths)

    older = [] if setting.beside is None else [setting.beside.resolve()]
    # Each reads the store that it makes first, but for one of ours that reads the older one.
    contenders = {OLDER: contender({}, older, OLDER)} if older else {}
    for first in [*contenders.values(), contender(THREE)]:
        first(0)
    cases = dict(POLICIES)
    contenders |= {name: contender(policy) for name, policy in cases.items()}
    if older:
        cases[OLD_STORE] = POLICIES["meco"]
        contenders[OLD_STORE] = contender(cases[OLD_STORE], store=OLDER)
    found = in_turn(contenders, setting.rounds)
    shutil.rmtree(folder)
    peer = OLDER if older else OURS
    named = f"three fields, {older[0]}" if older else "three fields"
    rows = []
    for name in (name for name in cases if name != peer):
        case = "three fields" if name == OURS else name
        rows += [
            compare("policy_rows", *_pair(found, name, peer, named, "tokens/s a core", _speed),
                    "more", case, "the best round of each"),
            compare("policy_index", *_pair(found, name, peer, named, "CPU us a document", _index),
                    "less", case, "of hosts that were met"),
        ]  # fmt: skip
    return rows


def _pair(found, name: str, peer: str, named: str, unit: str, of):
    return of(found[name]), unit, named, of(found[peer])


def _speed(runs) -> float:
    return max(each.said["tokens"] / each.said["row_seconds"] for each in runs)


def _index(runs) -> float:
    return min(1e6 * each.said["index_seconds"] / each.said["documents"] for each in runs)
