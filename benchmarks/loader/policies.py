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
OLDER = "older"


def measure(setting: Setting) -> list[Row]:
    folder = setting.folder / "policies"
    store, file = folder / "store", Path(policy_rows.__file__)

    def contender(policy: dict, paths=()):
        given = (store, json.dumps(policy), str(ROWS[setting.quick]))
        return lambda number: run([sys.executable, file, *given], paths=paths)

    older = [] if setting.beside is None else [setting.beside.resolve()]
    contenders = {OLDER: contender({}, older)} if older else {}
    contenders |= {name: contender(policy) for name, policy in POLICIES.items()}
    # An older checkout makes the store, which both then read.
    next(iter(contenders.values()))(0)
    found = in_turn(contenders, setting.rounds)
    shutil.rmtree(folder)
    peer = OLDER if older else OURS
    named = f"three fields, {older[0]}" if older else "three fields"
    rows = []
    for name in (name for name in POLICIES if name != peer):
        case = "three fields" if name == OURS else name
        rows += [
            compare("policy_rows", *_pair(found, name, peer, named, "tokens/s a core", _speed),
                    "more", case, "the best round of each"),
            compare("policy_index", *_pair(found, name, peer, named, "CPU s", _index),
                    "less", case, f"{policy_rows.DOCUMENTS:,} documents of hosts that were met"),
        ]  # fmt: skip
    return rows


def _pair(found, name: str, peer: str, named: str, unit: str, of):
    return of(found[name]), unit, named, of(found[peer])


def _speed(runs) -> float:
    return max(each.said["tokens"] / each.said["row_seconds"] for each in runs)


def _index(runs) -> float:
    return min(each.said["index_seconds"] for each in runs)
