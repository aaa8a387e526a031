"""The stages of the split: `units` reads each part, `split` finds the rules, `assign` applies them.

Only `split` is one task; it holds what data_prep.splits.find states, and with near-duplicates kept
maps a file of one byte a document.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_prep.config import Prep
from data_prep.dedup.arrays import save
from data_prep.engine import Receipt, Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import PartRef, all_parts
from data_prep.parts import read_part
from data_prep.splits.earlier import (
    ARRAYS_NAME,
    FOLDER,
    JSON_NAME,
    against_key,
    drawn_anew,
    settings_of,
    settled_before,
    write,
)
from data_prep.splits.find import MOST_PASSES, find_rules
from data_prep.splits.outcomes import EVALUATION_OVERLAP, FIRST_DUPLICATE, OUTCOMES, TEST, TRAIN
from data_prep.splits.rules import CODES, Rows, Rules
from data_prep.splits.units import DTYPES, PartArrays, batch_arrays, columns_for, read_columns
from geo_nemo.common.log import logger

LOG = logger(__name__)
UNITS_VERSION = ASSIGN_VERSION = "1"
SPLIT_VERSION = "3"
WHOLE = "all"
ARRAYS = ("test", "validation", "capped_hosts", "host_limits")  # of Rules
_RULES, _OUTCOME = "rules.json", "outcome.npy"
_ROWS = 1 << 20


class Units(Stage):
    """Puts down what the split needs of each row."""

    name = "units"

    def tasks(self) -> list[Task]:
        from data_prep.dedup import decision_keys

        parts = all_parts(self.config)
        base = (UNITS_VERSION, ",".join(columns_for(self.config)))
        return [
            Task(part.id, task_key(*base, part.key, key), part.documents, {})
            for part, key in zip(parts, decision_keys(self.config), strict=True)
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        from data_prep.dedup import decisions

        part = _part(self.config, task)
        names = columns_for(self.config)
        # Not mapped: a disk that is full would end the process, where a write is refused.
        arrays = {name: np.zeros(part.documents, DTYPES[name]) for name in names}
        decided = decisions(self.config, part)
        arrays["drop"][:] = decided.outcome
        if "leader" in names:
            arrays["leader"][:] = decided.leader
            arrays["unit"][:] = decided.cluster
        done = 0
        for batch in read_part(part.path, read_columns(self.config)):
            for name, values in batch_arrays(batch, self.config).items():
                arrays[name][done : done + len(batch)] = values
            done += len(batch)
            progress(done, done)
        for name, array in arrays.items():
            save(folder / f"{name}.npy", array)
        return {"documents": done, "kept": int((decided.outcome == 0).sum())}


class Split(Stage):
    """Finds the rules, over all parts."""

    name = "split"

    def tasks(self) -> list[Task]:
        units = Units(self.config)
        tasks = units.tasks()
        settings = self.config.canonical("splits", "balance", "seed")
        if _caps_by_country(self.config):
            settings += " caps by country"  # they were by the home of a document's cluster
        listed = ",".join(self.config.annotate.countries)
        keys = (task.key for task in tasks)
        size = sum(task.size for task in tasks)
        others = against_key(self.config)
        return [Task(WHOLE, task_key(SPLIT_VERSION, settings, listed, others, *keys), size, {})]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        config, parts = self.config, all_parts(self.config)
        country_of = None
        if "leader" in columns_for(config):
            country_of = _all_countries(config, parts, folder / "country.bin")

        passes = 0

        def one_pass() -> Iterator[Rows]:
            nonlocal passes
            for part in parts:
                yield from _chunks(part_arrays(config, part.id), country_of)
                seen = part.start + part.documents
                progress((passes * task.size + seen) // (MOST_PASSES + 1), seen)
            passes += 1

        balance, listed = config.balance, config.annotate.countries
        before = settled_before(config)
        if anew := drawn_anew(config):
            LOG.warning(anew)
        rules, settled, totals = find_rules(
            one_pass, config.splits, balance, config.seed, listed, before
        )
        given = _test_documents(rules, one_pass())
        if country_of is not None:
            del country_of
            (folder / "country.bin").unlink()
        for name in ARRAYS:
            save(folder / f"{name}.npy", getattr(rules, name))
        (folder / _RULES).write_bytes(orjson.dumps(rules.to_json(), option=orjson.OPT_INDENT_2))
        write(folder, settled, settings_of(config), {"totals": totals, "given": given})
        return {
            "test_units": len(rules.test),
            "validation_units": len(rules.validation),
            "settled_before": len(before.test) + len(before.validation),
        }

    def finish(self, tasks: list[Task], receipts: list[Receipt]) -> None:
        """Publish what is settled, for later runs."""
        from data_prep.corpus_out.publish import publish

        source = self.task_folder(WHOLE)
        files = {name: source / name for name in (JSON_NAME, ARRAYS_NAME)}
        publish(Path(self.config.output) / FOLDER, tasks[0].key, files, lambda folder: None)


class Assign(Stage):
    """Puts down the outcome of each row: outcome.npy, uint8 [n], indices into OUTCOMES."""

    name = "assign"

    def tasks(self) -> list[Task]:
        split = Split(self.config).tasks()[0].key
        return [
            Task(task.id, task_key(ASSIGN_VERSION, split, task.key), task.size, {})
            for task in Units(self.config).tasks()
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        from data_prep.dedup import OUTCOMES as DEDUP_OUTCOMES

        if DEDUP_OUTCOMES[1:] != OUTCOMES[FIRST_DUPLICATE:EVALUATION_OVERLAP]:
            raise RuntimeError("the outcomes of data_prep.dedup and data_prep.splits do not agree")
        config = self.config
        rules = read_rules(config)
        columns = part_arrays(config, task.id)
        dropped = columns["drop"]
        # Index 1 of deduplication's outcomes is FIRST_DUPLICATE here.
        outcome = np.where(dropped == 0, TRAIN, dropped + np.uint8(FIRST_DUPLICATE - 1))
        outcome = outcome.astype(np.uint8)
        kept = columns.kept()
        for start in range(0, len(kept), _ROWS):
            at = kept[start : start + _ROWS]
            outcome[at] = rules.outcomes(columns.rows(at))
            progress(int(at[-1]) + 1, int(at[-1]) + 1)
        save(folder / _OUTCOME, outcome)
        return {"by_country": by_country(outcome, columns["country"])}


def _caps_by_country(config: Prep) -> bool:
    """Whether a document's country and its cluster's home may differ where countries have caps."""
    caps = config.balance.cap or config.balance.cap_all is not None
    return bool(caps) and "leader" in columns_for(config)


def split_stages() -> list[type[Stage]]:
    """The stages of this package, in order."""
    return [Units, Split, Assign]


def read_rules(config: Prep) -> Rules:
    """The rules that stage `split` found."""
    folder = Split(config).task_folder(WHOLE)
    return Rules.from_json(
        orjson.loads((folder / _RULES).read_bytes()),
        **{name: np.load(folder / f"{name}.npy") for name in ARRAYS},
    )


def outcomes(config: Prep, part: PartRef) -> np.ndarray:
    """uint8 [n]: indices into OUTCOMES of the rows of `part`, before evaluation overlap."""
    return np.load(Assign(config).task_folder(part.id) / _OUTCOME)


def by_country(outcome: np.ndarray, country: np.ndarray) -> dict[str, dict[str, int]]:
    """Documents by name of the outcome and country, from indices [n] into OUTCOMES and CODES."""
    pairs = Counter(dict(zip(*_counted(outcome.astype(np.int64) << 8 | country), strict=True)))
    found: dict[str, dict[str, int]] = {}
    for pair, count in sorted(pairs.items()):
        found.setdefault(OUTCOMES[pair >> 8], {})[CODES[pair & 255]] = count
    return found


def _counted(values: np.ndarray) -> tuple[list[int], list[int]]:
    found, counts = np.unique(values, return_counts=True)
    return found.tolist(), counts.tolist()


def _chunks(columns: PartArrays, country_of: np.ndarray | None) -> Iterator[Rows]:
    kept = columns.kept()
    for start in range(0, len(kept), _ROWS):
        yield columns.rows(kept[start : start + _ROWS], country_of)


def _test_documents(rules: Rules, rows: Iterator[Rows]) -> dict[str, int]:
    """Test documents by country."""
    counts = np.zeros(len(CODES), np.int64)
    for some in rows:
        test = some.country[rules.splits(some) == TEST]
        counts += np.bincount(test, minlength=len(CODES))
    return {CODES[i]: int(counts[i]) for i in np.flatnonzero(counts)}


def _all_countries(config: Prep, parts: list[PartRef], path: Path) -> np.ndarray:
    """uint8 [documents of all parts], in a file: the leader of a cluster may be in any part."""
    with path.open("wb") as file:
        for part in parts:
            file.write(np.ascontiguousarray(part_arrays(config, part.id)["country"]).data)
    return np.memmap(path, np.uint8, "r")


def part_arrays(config: Prep, part_id: str) -> PartArrays:
    """What stage `units` wrote of a part."""
    return PartArrays(Units(config).task_folder(part_id), columns_for(config))


def _part(config: Prep, task: Task) -> PartRef:
    return next(part for part in all_parts(config) if part.id == task.id)
