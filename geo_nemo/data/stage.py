"""A stage's dataset over the index that all processes of a job, and other jobs, share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Run
from geo_nemo.config.stage_bounds import stage_samples
from geo_nemo.config.stage_sizes import stage_run
from geo_nemo.data.counter import derive_key
from geo_nemo.data.dataset import StageDataset, selection_of
from geo_nemo.data.draws import Draws, EpochDraws
from geo_nemo.data.groups import Grouping, by_country
from geo_nemo.data.index.build import Extent, WorkerInput, build
from geo_nemo.data.index.cache import Place, find_or_build
from geo_nemo.data.index.write import FileSink
from geo_nemo.data.mixing import Groups, check_epochs, sampling_axis
from geo_nemo.data.parts import Part, index_places, of_parts, replayed_stages, stage_parts
from geo_nemo.data.replay import AnyIndex, check_replayed, read_documents
from geo_nemo.data.run_draws import all_draws
from geo_nemo.data.window import Planner
from geo_nemo.metadata.compose import Composer
from geo_nemo.store import TokenStore
from geo_nemo.store.fields import check_columns

if TYPE_CHECKING:
    from geo_nemo.store import Split
    from geo_nemo.tokenizers.base import Tokenizer

_DOCUMENTS = "documents.tmp"


def open_store(
    run: Run, progress: Progress = no_progress, tokens: bool = True, sizes: bool = True
) -> TokenStore:
    """The run's store, whose columns are those that the run's policies need, else `UserError`.

    tokens: False is for who reads no document: of a store on `s3://` those are then fetched only
    where a policy's lengths are counted from the documents' texts, and not by their first words.
    sizes: as of `TokenStore.open`.
    """
    data = run.data

    def opened(tokens: bool) -> TokenStore:
        return TokenStore.open(
            data.store, cache_dir=data.cache_dir, progress=progress, tokens=tokens, sizes=sizes
        )

    store = opened(tokens)
    for name, stage in run.stages.items():
        check_columns(stage.metadata, store, f"stages.{name}.metadata")
    policies = [stage.metadata for stage in run.stages.values()]
    policies += [policy.plain for policy in policies if policy.plain]
    whole = [policy for policy in policies if policy.is_whole]
    if tokens or not whole:
        return store
    tokenizer = store.tokenizer()
    composers = [Composer(policy, tokenizer) for policy in whole]
    if not any(composer.reads_texts for composer in composers):
        return store
    splits = [store.split(name) for name, split in store.manifest.splits.items() if split.documents]
    told = all(split.first_words.are_complete() for split in splits)
    told &= not any(composer.reads_ends for composer in composers)
    return store if told else opened(True)


def build_stage_index(
    run: Run,
    store_hash: str,
    split: Split,
    tokenizer: Tokenizer,
    stage: str,
    progress: Progress = no_progress,
    groups: Grouping | None = None,
) -> tuple[AnyIndex, bool]:
    """The index of a stage's sequences, and whether any of it was built now; it is checked.

    groups: those of the run; by country where it is None. Raises UserError where a stage replays
    more than there is.
    """
    grouping = groups or by_country(split)
    found, any_built = [], False
    places = index_places(run, store_hash, split, stage, grouping.size)
    for part, place in zip(stage_parts(run, stage), places, strict=True):

        def into(folder: Path, part: Part = part, place: Place = place) -> None:
            draws: Draws
            if part.replay is None:
                draws = all_draws(run, split, tokenizer, [stage])[stage]
            else:
                read = _read_before(run, store_hash, split, tokenizer, stage, progress, grouping)
                key = derive_key(run.seed, part.name)
                draws = EpochDraws(read, key, run.data.packing_window)
            _build_part(run, split, tokenizer, part, draws, grouping, place, folder, progress)

        index, built = find_or_build(place, into, progress)
        found.append(index)
        any_built |= built
    return of_parts(run, stage, found), any_built


def _build_part(
    run: Run,
    split: Split,
    tokenizer: Tokenizer,
    part: Part,
    draws: Draws,
    grouping: Grouping,
    place: Place,
    folder: Path,
    progress: Progress,
) -> None:
    settings, data = run.stages[part.stage], stage_run(run, part.stage).data
    key = derive_key(run.seed, part.name)
    planner = Planner(split, Composer(settings.metadata, tokenizer), draws, key, data, grouping)
    sink = FileSink(folder, planner.num_groups)
    workers = None
    if run.data.index_workers:
        path = folder / _DOCUMENTS
        with path.open("wb") as file:  # numpy's own writing fails without the system's reason
            file.write(np.ascontiguousarray(draws.documents).data)
        empty = draws.over(draws.documents[:0])
        dtype = draws.documents.dtype
        # This very copy: a store on s3:// may have changed since.
        here = data.model_copy(update={"store": str(split.root)})
        workers = WorkerInput(
            split.name, settings.metadata, here, key, empty, path, dtype, grouping.fields
        )
    try:
        build(planner, Extent(part.samples, None), sink, workers, progress, part.name)
        if part.replay is None:
            axis = sampling_axis(split, settings.sampling, part.stage)
            groups = Groups.count(split, draws.documents, axis)
            epochs = draws.epochs(groups.documents, sink.counts.documents)
            check_epochs(part.stage, settings.sampling, groups, epochs)
        else:
            check_replayed(part.stage, part.replay, draws, sink, part.samples)
        sink.finish(place.description, len(draws.documents))
    finally:
        sink.close()
    (folder / _DOCUMENTS).unlink(missing_ok=True)


def _read_before(
    run: Run,
    store_hash: str,
    split: Split,
    tokenizer: Tokenizer,
    stage: str,
    progress: Progress,
    groups: Grouping,
) -> np.ndarray:
    """What the stages that a stage replays have read, sorted; their indices are built for it."""
    parts = []
    for name in replayed_stages(run, stage):
        index, _ = build_stage_index(run, store_hash, split, tokenizer, name, progress, groups)
        parts.append((index, stage_samples(run, name)))
    return read_documents(parts, split.num_documents)


def indexed_dataset(
    run: Run,
    split: Split,
    tokenizer: Tokenizer,
    stage: str,
    index: AnyIndex,
    groups: Grouping | None = None,
) -> StageDataset:
    """The sequences that a stage takes, over their index."""
    return StageDataset(
        split,
        stage_run(run, stage).data,
        run.stages[stage].metadata,
        tokenizer,
        np.empty(0, np.int64),
        run.seed,
        stage_samples(run, stage),
        stage=stage,
        index=index,
        groups=groups,
        selection=selection_of(run, split, stage),
    )
