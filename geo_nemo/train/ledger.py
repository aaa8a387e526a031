"""The ledger: what the weights were trained on, by stage and group, and what was left out.

    {"step": 6, "stages": {"condition": {"steps": 3, "trained": {...}, "left_out": {...}}},
     "notes": [{"step": 1, "action": "skip", "left_out": [1], ...}],
     "store": "0f...", "before": [{"run": "base", "step": 6, "store": "1c...", "stages": {...}}]}

`trained` and `left_out` each hold sequences, padding, documents, positions, text_tokens and
metadata_tokens, and the last four `by_country`, or by the fields of the run's `groups`; by two of
them `by_country_and_topic`, too. `templates` tells the same by the template of a text and whether
metadata stood in it: `localization with metadata`, `localization without`, `plain without`. A
stage that replays has `replayed` too, the documents that earlier stages have read.
Padding belongs to sequences, not to a group. Steps that a rewind undoes count once, as they were
taken in the end. All of it follows from the packing index, the step and the steps that were left
out, so it is the same for any number of ranks. `before` is what the weights that a run began from
were trained on, run by run from the first; it and `store` are there where a run began from
another's checkpoint. Needs no torch.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.common.files import write_whole
from geo_nemo.config import MetadataPolicy
from geo_nemo.config.stage_bounds import template_name
from geo_nemo.data.groups import Grouping, as_keys
from geo_nemo.data.index.read import LEDGER, as_entry
from geo_nemo.data.replay import replayed_sums
from geo_nemo.runtime.launcher import rank
from geo_nemo.train.setup import SPLIT, Prepared
from geo_nemo.train.stage_steps import StagePlan

NAME = "ledger.json"
REPLAYED = ("rows", *LEDGER)
# Sums over the first sequences of a stage, from their number.
Count = Callable[[int], np.ndarray]


class Ledger:
    """Counts on the rank that has the indices open, in milliseconds; a callback of every run.

    notes: of bad steps, in the order in which they were found; plain JSON.
    before: of the runs that the first weights come from, in their order; plain JSON.
    standing: tells the steps done, and those of them and to come that are left out.
    """

    name = "ledger"

    def __init__(
        self,
        prepared: Prepared,
        standing: Callable[[], tuple[int, Collection[int]]] = lambda: (0, ()),
    ):
        self.notes: list[dict[str, Any]] = []
        self.before: list[dict[str, Any]] = []
        self.standing = standing
        self._prepared = prepared
        self._finished: dict[str, dict[str, Any]] = {}

    def state_dict(self) -> dict[str, Any]:
        """The ledger as it stands; rank 0 asks."""
        return self.at(*self.standing())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ledger of a checkpoint; a rewind does not take notes away."""
        saved = list(state.get("notes", []))
        self.notes = [*saved, *(note for note in self.notes if note not in saved)]
        self.before = list(state.get("before", []))
        stages = state.get("stages", {})
        # What is over stays as it is; its index may be gone, or long to read.
        self._finished = {
            stage.name: stages[stage.name]
            for stage in self._prepared.stages
            if stage.name in stages and stages[stage.name]["steps"] == stage.steps
        }

    def on_start(self, step: int) -> None: ...

    def reads(self, step: int) -> bool:
        return False

    def on_step(self, event: Any) -> None: ...

    def on_end(self) -> None: ...

    def write(self) -> None:
        """Write `ledger.json` into the run's folder, on rank 0."""
        if rank() == 0:
            write_ledger(Path(self._prepared.run.output_dir), self.state_dict())

    def at(self, step: int, left_out: Collection[int] = ()) -> dict[str, Any]:
        """The ledger after so many steps, of which `left_out` were not taken; rank 0 asks."""
        begun = [stage for stage in self._prepared.stages if stage.first_step < step]
        stages = {
            stage.name: self._finished.get(stage.name)
            or self._counted(stage, min(step, stage.last_step), left_out)
            for stage in begun
        }
        # A copy: a checkpoint is written in a thread, while the run may find another bad step.
        found = {"step": step, "stages": stages, "notes": list(self.notes)}
        if self.before:
            found |= {"store": self._prepared.store.hash, "before": list(self.before)}
        return found

    def _counted(self, stage: StagePlan, last: int, left_out: Collection[int]) -> dict[str, Any]:
        run, first = self._prepared.run, stage.first_step
        index, size = self._prepared.index(stage), stage.global_batch_size
        gone = sorted(step - first for step in left_out if first <= step < last)
        groups, length = self._prepared.groups, stage.seq_length
        split = self._prepared.store.split(SPLIT)

        def ledger(sequences: int) -> np.ndarray:
            return index.ledger(sequences, lambda fragments: groups.planned(split, fragments))

        def shown(sequences: int) -> np.ndarray:
            return index.shown(sequences, stage.policy)

        def replayed(sequences: int) -> np.ndarray:
            return replayed_sums(index, stage.policy, sequences)

        def entry(counted: Callable[[Count], np.ndarray], sequences: int) -> dict[str, Any]:
            found = _entry(counted(ledger), sequences, length, groups)
            found["templates"] = _templates(counted(shown), stage.policy)
            if run.stages[stage.name].replay is not None:
                found["replayed"] = dict(zip(REPLAYED, counted(replayed).tolist(), strict=True))
            return found

        everything, sequences = (last - first) * size, len(gone) * size
        return {
            "steps": last - first,
            "trained": entry(
                lambda count: count(everything) - _of_steps(count, gone, size),
                everything - sequences,
            ),
            "left_out": entry(lambda count: _of_steps(count, gone, size), sequences),
        }


def trained_before(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the weights of a checkpoint were trained on: an entry a run, from the first one on.

    record: of the checkpoint.
    """
    ledger, config = record.get("ledger", {}), record.get("config", {})
    mine = {
        "run": config.get("name", ""),
        "step": record["step"],
        "store": record.get("fingerprint", {}).get("store", ""),
        "stages": ledger.get("stages", {}),
    }
    return [*ledger.get("before", []), mine]


def write_ledger(folder: Path, ledger: Mapping[str, Any]) -> None:
    """Write `ledger.json` into `folder`; it is whole or as before."""
    write_whole(folder / NAME, json.dumps(ledger, indent=1).encode())


def _of_steps(ledger: Count, steps: Sequence[int], size: int) -> np.ndarray:
    """`LEDGER` of the sequences of some steps of a stage, sorted, as `ledger` tells it; int64 [n,
    4].

    ledger: of the stage's first sequences.
    """
    total = np.zeros_like(ledger(0))
    for _, run in groupby(enumerate(steps), lambda pair: pair[1] - pair[0]):
        together = [step for _, step in run]
        total += ledger((together[-1] + 1) * size) - ledger(together[0] * size)
    return total


def _entry(tally: np.ndarray, sequences: int, length: int, groups: Grouping) -> dict[str, Any]:
    sums = dict(zip(LEDGER, tally.sum(axis=0).tolist(), strict=True))
    padding = sequences * length - sums["positions"]
    tables = as_keys(groups.by(tally, as_entry), "by_")
    if len(groups.fields) == 2:
        tables[f"by_{'_and_'.join(groups.fields)}"] = groups.crossed(tally, as_entry)
    return {"rows": sequences, "padding": padding, **sums, **tables}


def _templates(ways: np.ndarray, policy: MetadataPolicy) -> dict[str, dict[str, int]]:
    """`LEDGER` by template, from that by `dropout.SHOWN`, int64 [3, 4]."""
    template = template_name(policy)
    names = (f"{template} with metadata", f"{template} without", "plain without")
    found: dict[str, np.ndarray] = {}
    for name, way in zip(names, ways, strict=True):
        found[name] = found.get(name, 0) + way
    entries = {name: as_entry(sums) for name, sums in found.items()}
    return {name: entry for name, entry in entries.items() if entry}
