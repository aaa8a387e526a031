"""Which documents each stage draws from: its selection, and its fraction of what others select too.

No document is in two stages. Documents that the same stages select are shared out country by
country, so that a small country is in each of them in its proportion.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import Select, Stage, UserError
from geo_nemo.data.counter import derive_key, permute, uniform
from geo_nemo.data.groups import axis_of
from geo_nemo.metadata.geography import continent_name, country_code

if TYPE_CHECKING:
    from geo_nemo.store import Split

CHUNK = 1 << 20
MAX_STAGES = 63
LANGUAGE = "language"
# Fields that a selection has settings of, and their names.
SELECTED = {"country": "countries", "continent": "continents", "source": "sources"}


def stage_documents(
    split: Split,
    stages: Mapping[str, Stage],
    seed: int,
    fractions: Sequence[float] | None = None,
) -> dict[str, np.ndarray]:
    """The documents of each stage, sorted; uint32 (int64 from 2^32 documents on).

    fractions: of what they share; the stages' own where it is None.

    Takes 4 bytes a document and the columns that a selection reads. Raises UserError where a
    selection names what the store does not have, or a stage or a listed country gets no document.
    """
    if len(stages) > MAX_STAGES:
        raise UserError(f"{len(stages)} stages; at most {MAX_STAGES} share out documents")
    names = list(stages)
    fractions = fractions or [stage.fraction for stage in stages.values()]
    filters = [_Filter(split, f"stages.{name}.select", stages[name].select) for name in names]
    sizes = _strata_sizes(split, filters)
    borders = {stratum: _borders(stratum, size, fractions, seed) for stratum, size in sizes.items()}
    dtype = np.uint32 if split.num_documents <= 1 << 32 else np.int64
    chunks: list[list[np.ndarray]] = [[] for _ in names]
    reached = dict.fromkeys(sizes, 0)
    for first in range(0, split.num_documents, CHUNK):
        masks, strata = _strata(split, filters, first)
        stage_of = np.full(len(masks), -1, dtype=np.int8)
        for stratum, places in strata:
            start = reached[stratum]
            reached[stratum] += len(places)
            ranks = permute(
                derive_key(seed, "stages", *stratum),
                sizes[stratum],
                np.arange(start, reached[stratum]),
            )
            stage_of[places] = np.searchsorted(borders[stratum], ranks, side="right")
        for stage, chunk in enumerate(chunks):
            chunk.append((np.flatnonzero(stage_of == stage) + first).astype(dtype))
    found = {name: np.concatenate(chunk) for name, chunk in zip(names, chunks, strict=True)}
    for name, documents in found.items():
        _check_countries(split, name, stages[name].select, documents)
    return found


class _Filter:
    """A stage's selection as tables over the groups of fields."""

    def __init__(self, split: Split, key: str, select: Select):
        self._split = split
        self._select = select
        self._tables = []
        for name, field, kept, left_out in _listed(select):
            axis = axis_of(split, field, f"{key}.{name}")
            kept, left_out = (
                [stored_name(field, value, axis.names) for value in values]
                for values in (kept, left_out)
            )
            wanted = _wanted(key, name, kept, left_out, axis.names)
            self._tables.append((axis.column, wanted[axis.table]))
        self._judged: tuple[str, np.ndarray] | None = None
        if languages := select.quality_languages:
            axis = axis_of(split, LANGUAGE, f"{key}.quality_languages")
            check_names(f"{key}.quality_languages", languages, axis.names)
            judged = np.array([name in languages for name in axis.names], dtype=bool)
            self._judged = axis.column, judged[axis.table]

    def __call__(self, span: slice) -> np.ndarray:
        """bool [n]: which documents of the span are kept."""
        split, select = self._split, self._select
        kept = np.ones(span.stop - span.start, dtype=bool)
        for column, table in self._tables:
            kept &= table[split.codes(column)[span]]
        if select.years:
            year = split.year[span]
            kept &= (year >= select.years[0]) & (year <= select.years[1]) & (year > 0)
        if select.min_quality:
            good = split.quality[span] >= select.min_quality
            if self._judged is not None:
                column, judged = self._judged
                good |= ~judged[split.codes(column)[span]]
            kept &= good
        return kept


def _listed(select: Select) -> Iterator[tuple[str, str, Sequence[str], Sequence[str]]]:
    """Setting, field, kept and excluded values of each that the selection names."""
    for field, name in SELECTED.items():
        kept, left_out = getattr(select, name), getattr(select, f"exclude_{name}")
        if kept or left_out:
            yield name, field, kept, left_out
    for field in sorted({*select.values, *select.exclude_values}):
        kept, left_out = select.values.get(field, ()), select.exclude_values.get(field, ())
        if kept or left_out:
            yield f"values.{field}", field, kept, left_out


def _wanted(
    key: str, field: str, kept: Sequence[str], left_out: Sequence[str], there: tuple[str, ...]
) -> np.ndarray:
    """bool [len(there)]: which names are kept; an unknown one is a `UserError`."""
    for name, listed in ((field, kept), (f"exclude_{field}", left_out)):
        check_names(f"{key}.{name}", listed, there)
    chosen = np.array([not kept or name in kept for name in there], dtype=bool)
    chosen[[there.index(name) for name in left_out]] = False
    return chosen


def stored_name(column: str, name: str, there: Collection[str]) -> str:
    """How the store writes `name` of a country, continent or source: `gb` for `uk`."""
    if name in there or column not in ("country", "continent"):
        return name
    return (country_code(name) if column == "country" else continent_name(name)) or name


def check_names(key: str, listed: Sequence[str], there: Sequence[str], way_out: str = "") -> None:
    """Raise `UserError` where `listed` has a name that the store does not have.

    way_out: what else the user may write.
    """
    for name in listed:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            few = ", ".join(there[:12]) + (f" and {len(there) - 12} more" if there[12:] else "")
            raise UserError(f"{key}: {name} is not in the store, which has {few}{way_out}{hint}")


def _strata(
    split: Split, filters: Sequence[_Filter], first: int
) -> tuple[np.ndarray, list[tuple[tuple[int, int], np.ndarray]]]:
    """Bit masks of the stages that select each document of a chunk, and the strata that are there.

    A stratum is (mask, country), and comes with the places of its documents in the chunk.
    """
    span = slice(first, min(first + CHUNK, split.num_documents))
    country = split.country[span].astype(np.int64)
    masks = np.zeros(len(country), dtype=np.int64)
    for bit, keeps in enumerate(filters):
        masks |= keeps(span).astype(np.int64) << bit
    values, mask_number = np.unique(masks, return_inverse=True)
    number = mask_number * len(split.countries) + country
    order = np.argsort(number, kind="stable")
    numbers, starts = np.unique(number[order], return_index=True)
    found = [
        ((int(values[n // len(split.countries)]), int(n % len(split.countries))), places)
        for n, places in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True)
    ]
    return masks, [(stratum, places) for stratum, places in found if stratum[0]]


def _strata_sizes(split: Split, filters: Sequence[_Filter]) -> dict[tuple[int, int], int]:
    sizes: dict[tuple[int, int], int] = {}
    for first in range(0, split.num_documents, CHUNK):
        for stratum, places in _strata(split, filters, first)[1]:
            sizes[stratum] = sizes.get(stratum, 0) + len(places)
    return sizes


def _borders(
    stratum: tuple[int, int], size: int, fractions: Sequence[float], seed: int
) -> np.ndarray:
    """Where each stage's ranks end, int64 [stages]; a stage that does not select gets none."""
    mask, _ = stratum
    wanted = np.array([fraction * (mask >> bit & 1) for bit, fraction in enumerate(fractions)])
    # A random offset rounds small strata up for a stage as often as its fraction says.
    offset = uniform(derive_key(seed, "borders", *stratum), np.arange(1))[0]
    borders = np.floor(np.cumsum(wanted) / wanted.sum() * size + offset).astype(np.int64)
    last = int(np.flatnonzero(wanted)[-1])
    borders[last:] = size
    return np.minimum(borders, size)


def _check_countries(split: Split, name: str, select: Select, documents: np.ndarray) -> None:
    if len(documents) == 0:
        raise UserError(
            f"stage {name} has no documents in split {split.name}: raise its fraction, widen "
            f"stages.{name}.select, or use a larger store"
        )
    if select.countries:
        there = list(split.countries)
        counts = np.bincount(split.country[documents], minlength=len(there))
        places = [there.index(stored_name("country", c, there)) for c in select.countries]
        absent = [c for c, at in zip(select.countries, places, strict=True) if not counts[at]]
        if absent:
            raise UserError(
                f"stages.{name}.select.countries lists {', '.join(absent)}, of which the stage has "
                f"no document: widen its selection or raise its fraction"
            )
