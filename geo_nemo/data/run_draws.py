"""How the stages of a run draw their documents from a split."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import Run
from geo_nemo.config.stage_bounds import own_samples
from geo_nemo.config.stage_sizes import document_fractions, stage_run
from geo_nemo.data.counter import derive_key
from geo_nemo.data.draws import Draws
from geo_nemo.data.mixing import Pool
from geo_nemo.data.moving import MovingDraws
from geo_nemo.data.sampling import stage_draws
from geo_nemo.data.selection import stage_documents
from geo_nemo.data.window import Planner
from geo_nemo.metadata.compose import Composer
from geo_nemo.store.fields import check_fields

if TYPE_CHECKING:
    from geo_nemo.store import Split
    from geo_nemo.tokenizers.base import Tokenizer


def all_draws(
    run: Run, split: Split, tokenizer: Tokenizer, stages: Collection[str] | None = None
) -> dict[str, Draws]:
    """How stages of a run draw their documents; `UserError` where settings do not fit them.

    stages: names; all where it is None.
    """
    chosen = [stage for stage in run.stages if stages is None or stage in stages]
    for stage in chosen:
        check_fields(run.stages[stage].metadata, split, f"stages.{stage}.metadata")
    documents = stage_documents(split, run.stages, run.seed, document_fractions(run))
    return {stage: _draws(run, split, tokenizer, stage, documents[stage]) for stage in chosen}


def _draws(
    run: Run, split: Split, tokenizer: Tokenizer, stage: str, documents: np.ndarray
) -> Draws:
    settings, samples = run.stages[stage], own_samples(run, stage)
    data = stage_run(run, stage).data
    key = derive_key(run.seed, stage)
    draws = stage_draws(
        Pool(
            split=split,
            documents=documents,
            sampling=settings.sampling,
            key=key,
            window=data.packing_window,
            budget=samples * data.seq_length,
            stage=stage,
        )
    )
    if not isinstance(draws, MovingDraws):
        return draws
    composer = Composer(settings.metadata, tokenizer)
    return draws.over_sequences(samples, lambda each: Planner(split, composer, each, key, data))
