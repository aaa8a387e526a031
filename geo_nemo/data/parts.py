"""The parts of a stage that have packing indices of their own, and where those lie.

A stage has one part; one that replays has a second, whose sequences stand among those of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo_nemo.config import Run
from geo_nemo.config.replay import Replay
from geo_nemo.config.stage_bounds import own_samples, stage_samples
from geo_nemo.config.stage_sizes import document_fractions, stage_run
from geo_nemo.data.brought_packing import packing_identity
from geo_nemo.data.fragments import fragment_dtype
from geo_nemo.data.groups import DEFAULT
from geo_nemo.data.index.cache import Place
from geo_nemo.data.index.read import Index
from geo_nemo.data.replay import SUFFIX, AnyIndex, ReplayIndex
from geo_nemo.data.sampling import sampling_identity
from geo_nemo.metadata.fields import brought_fields

if TYPE_CHECKING:
    from geo_nemo.store import Split

# Changes when the same settings plan other sequences.
PLAN_VERSION = 1


def index_folder(run: Run) -> Path:
    """Where the run's packing indices lie."""
    return Path(run.data.index_dir or Path(run.output_dir) / "index")


@dataclass(frozen=True)
class Part:
    """What has an index of its own: a stage's own sequences, or those that it replays.

    stage: whose settings they have. name: of the part, which is in the keys of all draws.
    """

    stage: str
    name: str
    samples: int
    replay: Replay | None = None


def stage_parts(run: Run, stage: str) -> list[Part]:
    """The stage's own part, then that of its replay where it has one."""
    replay, own = run.stages[stage].replay, own_samples(run, stage)
    parts = [Part(stage, stage, own)]
    if replay is not None:
        again = stage_samples(run, stage) - own
        parts.append(Part(stage, stage + SUFFIX, again, replay))
    return parts


def replayed_stages(run: Run, stage: str) -> list[str]:
    """The stages whose documents a stage replays."""
    replay, names = run.stages[stage].replay, list(run.stages)
    if replay is None:
        return []
    return [name for name in names[: names.index(stage)] if not replay.of or name in replay.of]


def index_places(
    run: Run, store_hash: str, split: Split, stage: str, num_groups: int = 0
) -> list[Place]:
    """The places of the indices of `stage_parts`, keyed by all that decides their sequences.

    num_groups: of the run's grouping, to open the index.
    """
    length = stage_run(run, stage).data.seq_length
    dtype = fragment_dtype(split.num_documents, length, run.stages[stage].metadata)
    return [
        Place(
            folder=index_folder(run),
            stage=part.name,
            description=_description(run, store_hash, split, part),
            dtype=dtype,
            num_groups=num_groups,
        )
        for part in stage_parts(run, stage)
    ]


def of_parts(run: Run, stage: str, indices: Sequence[Index]) -> AnyIndex:
    """A stage's index, from those of its parts."""
    replay = run.stages[stage].replay
    return indices[0] if replay is None else ReplayIndex(indices[0], indices[1], replay)


def _description(run: Run, store_hash: str, split: Split, part: Part) -> dict[str, Any]:
    data, settings = stage_run(run, part.stage).data, run.stages[part.stage]
    # Indices by country are as they were before there were other groups.
    groups = {} if run.groups == DEFAULT else {"groups": list(run.groups)}
    brought = brought_fields(settings.metadata)
    replay = {}
    if part.replay is not None:
        earlier = [
            place.path.name
            for name in replayed_stages(run, part.stage)
            for place in index_places(run, store_hash, split, name)
        ]
        replay = {"replay": {"of": earlier, "max_epochs": part.replay.max_epochs}}
    return {
        **groups,
        **replay,
        **({"brought_fields": brought} if brought else {}),
        "plan_version": PLAN_VERSION,
        "store": store_hash,
        "split": split.name,
        "stage": part.name,
        "seed": run.seed,
        "policy": settings.metadata.hash(),
        "seq_length": data.seq_length,
        "packing": packing_identity(data),
        "prefix_fragments": data.prefix_fragments,
        "packing_window": data.packing_window,
        "samples": part.samples,
        "sampling": sampling_identity(settings.sampling, part.stage),
        # Which documents the stage has depends on what the others may draw.
        "stages": [
            {"name": name, "share": fraction, "select": each.select.canonical()}
            for (name, each), fraction in zip(
                run.stages.items(), document_fractions(run), strict=True
            )
        ],
    }
