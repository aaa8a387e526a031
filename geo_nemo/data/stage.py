"""A stage's dataset over the index that all processes of a job, and other jobs, share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Run
from geo_nemo.config.stage_bounds import stage_samples
from geo_nemo.data.brought_packing import packing_identity
from geo_nemo.data.counter import derive_key
from geo_nemo.data.dataset import StageDataset, all_draws
from geo_nemo.data.fragments import fragment_dtype
from geo_nemo.data.groups import DEFAULT, Grouping, by_country
from geo_nemo.data.index.build import Extent, WorkerInput, build
from geo_nemo.data.index.cache import Place, find_or_build
from geo_nemo.data.index.read import Index
from geo_nemo.data.index.write import FileSink
from geo_nemo.data.mixing import Groups, check_epochs, sampling_axis
from geo_nemo.data.sampling import sampling_identity
from geo_nemo.data.window import Planner
from geo_nemo.metadata.compose import Composer
from geo_nemo.store import TokenStore
from geo_nemo.store.fields import check_columns

if TYPE_CHECKING:
    from geo_nemo.store import Split
    from geo_nemo.tokenizers.base import Tokenizer

# Changes when the same settings plan other sequences.
PLAN_VERSION = 1
_DOCUMENTS = "documents.tmp"


def open_store(run: Run, progress: Progress = no_progress, tokens: bool = True) -> TokenStore:
    """The run's store, whose columns are those that the run's policies need, else `UserError`.

    tokens: False is for who reads no document: of a store on `s3://` those are then fetched only
    where a policy's lengths are counted from the documents' texts.
    """
    data = run.data

    def opened(tokens: bool) -> TokenStore:
        return TokenStore.open(
            data.store, cache_dir=data.cache_dir, progress=progress, tokens=tokens
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
    reads = any(Composer(policy, tokenizer).reads_texts for policy in whole)
    return opened(True) if reads else store


def index_folder(run: Run) -> Path:
    """Where the run's packing indices lie."""
    return Path(run.data.index_dir or Path(run.output_dir) / "index")


def index_place(run: Run, store_hash: str, split: Split, stage: str, num_groups: int = 0) -> Place:
    """The place of a stage's index, keyed by all that decides which sequences it takes.

    num_groups: of the run's grouping, to open the index.
    """
    return Place(
        folder=index_folder(run),
        stage=stage,
        description=_description(run, store_hash, split.name, stage),
        dtype=fragment_dtype(split.num_documents, run.data.seq_length, run.stages[stage].metadata),
        num_groups=num_groups,
    )


def build_stage_index(
    run: Run,
    store_hash: str,
    split: Split,
    tokenizer: Tokenizer,
    stage: str,
    progress: Progress = no_progress,
    groups: Grouping | None = None,
) -> tuple[Index, bool]:
    """The index of a stage's sequences, and whether it was built now; its content is checked.

    groups: those of the run; by country where it is None.
    """
    grouping = groups or by_country(split)

    def into(folder: Path) -> None:
        draws = all_draws(run, split, [stage])[stage]
        policy, sampling = run.stages[stage].metadata, run.stages[stage].sampling
        key = derive_key(run.seed, stage)
        planner = Planner(split, Composer(policy, tokenizer), draws, key, run.data, grouping)
        sink = FileSink(folder, planner.num_groups)
        workers = None
        if run.data.index_workers:
            path = folder / _DOCUMENTS
            draws.documents.tofile(path)
            empty = draws.over(draws.documents[:0])
            dtype = draws.documents.dtype
            # This very copy: a store on s3:// may have changed since.
            here = run.data.model_copy(update={"store": str(split.root)})
            workers = WorkerInput(
                split.name, policy, here, key, empty, path, dtype, grouping.fields
            )
        extent = Extent(stage_samples(run, stage), None)
        try:
            build(planner, extent, sink, workers, progress, stage)
            axis = sampling_axis(split, sampling, stage)
            groups = Groups.count(split, draws.documents, axis)
            epochs = draws.epochs(groups.documents, sink.counts.documents)
            check_epochs(stage, sampling, groups, epochs)
            sink.finish(_description(run, store_hash, split.name, stage), len(draws.documents))
        finally:
            sink.close()
        (folder / _DOCUMENTS).unlink(missing_ok=True)

    return find_or_build(index_place(run, store_hash, split, stage, grouping.size), into)


def indexed_dataset(
    run: Run,
    split: Split,
    tokenizer: Tokenizer,
    stage: str,
    index: Index,
    groups: Grouping | None = None,
) -> StageDataset:
    """The sequences that a stage takes, over their index."""
    return StageDataset(
        split,
        run.data,
        run.stages[stage].metadata,
        tokenizer,
        np.empty(0, np.int64),
        run.seed,
        stage_samples(run, stage),
        stage=stage,
        index=index,
        groups=groups,
    )


def _description(run: Run, store_hash: str, split: str, stage: str) -> dict[str, Any]:
    data, settings = run.data, run.stages[stage]
    # Indices by country are as they were before there were other groups.
    groups = {} if run.groups == DEFAULT else {"groups": list(run.groups)}
    return {
        **groups,
        "plan_version": PLAN_VERSION,
        "store": store_hash,
        "split": split,
        "stage": stage,
        "seed": run.seed,
        "policy": settings.metadata.hash(),
        "seq_length": data.seq_length,
        "packing": packing_identity(data),
        "prefix_fragments": data.prefix_fragments,
        "packing_window": data.packing_window,
        "samples": stage_samples(run, stage),
        "sampling": sampling_identity(settings.sampling, stage),
        # Which documents the stage has depends on what the others may draw.
        "stages": [
            {"name": name, "share": each.fraction, "select": each.select.canonical()}
            for name, each in run.stages.items()
        ],
    }
