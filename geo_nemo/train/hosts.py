"""Of which hosts and countries the documents are that a checkpoint was trained on."""

import csv
import io
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass, fields
from itertools import groupby

import numpy as np

from geo_nemo.config import Run
from geo_nemo.data.groups import grouping_of
from geo_nemo.data.index.read import DamagedIndex, tally
from geo_nemo.data.parts import index_places, of_parts
from geo_nemo.data.replay import AnyIndex
from geo_nemo.store import TokenStore
from geo_nemo.train.setup import SPLIT
from geo_nemo.train.stage_steps import StagePlan, plan_stages


@dataclass(frozen=True, slots=True)
class HostCount:
    """What was read of a host's documents of one country; one that is read again counts again."""

    host: str
    country: str
    documents: int
    text_tokens: int
    metadata_tokens: int


def trained_hosts(
    run: Run, store: TokenStore, step: int, left_out: Collection[int] = ()
) -> list[HostCount] | None:
    """Those of the first `step` steps, but for `left_out`; most tokens of text first.

    None where an index of the run is not there any more; none is built. In memory: a million
    fragments, and four numbers for each host and country.
    """
    split, size = store.split(SPLIT), len(store.countries)
    groups = grouping_of(store, run.groups)
    sums: dict[int, np.ndarray] = {}
    for stage in plan_stages(run):
        if stage.first_step >= step:
            continue
        index = _present(run, store, stage.name, groups.size)
        if index is None:
            return None
        for part in _taken(index, stage, min(step, stage.last_step), left_out):
            hosts = split.host[part["document"]].astype(np.int64)
            pairs, of = np.unique(hosts * size + part["country"], return_inverse=True)
            for pair, counted in zip(pairs.tolist(), tally(part, of, len(pairs)), strict=True):
                sums[pair] = sums.get(pair, 0) + counted
    found = [
        HostCount(
            store.hosts[pair // size], store.countries[pair % size], documents, text, metadata
        )
        for pair, (documents, _, text, metadata) in (
            (pair, counted.tolist()) for pair, counted in sums.items()
        )
    ]
    return sorted(found, key=lambda each: (-each.text_tokens, each.host, each.country))


def as_csv(found: Collection[HostCount]) -> str:
    """A line each, under a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(HostCount)])
    writer.writerows(map(astuple, found))
    return text.getvalue()


def _present(run: Run, store: TokenStore, stage: str, num_groups: int) -> AnyIndex | None:
    places = index_places(run, store.hash, store.split(SPLIT), stage, num_groups)
    try:
        found = [place.open(check_content=True) for place in places]
    except DamagedIndex:
        return None
    whole = [index for index in found if index is not None]
    return of_parts(run, stage, whole) if len(whole) == len(found) else None


def _taken(
    index: AnyIndex, stage: StagePlan, last: int, left_out: Collection[int]
) -> Iterator[np.ndarray]:
    """The fragments of a stage's steps up to `last`, less those that are left out."""
    size = stage.global_batch_size
    steps = [step for step in range(stage.first_step, last) if step not in left_out]
    for _, together in groupby(enumerate(steps), lambda pair: pair[1] - pair[0]):
        run = [step - stage.first_step for _, step in together]
        yield from index.fragments(run[0] * size, (run[-1] + 1) * size)
