"""The whole preparation: its stages in order, run one after another, each task by task.

    work/<stage>/<task>/   what a stage hands on, with a receipt
    corpus/  tokenizer/  store/  drops/  report.json  card.md  card.html

all in the config's `output`.

A run with the same config and input takes finished tasks as they are.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from data_prep.config import Prep
from data_prep.engine import LocalWorkers, Stage, run_stage
from data_prep.engine.stage import WORK
from data_prep.stages import check_replaceable
from geo_nemo.common.errors import UserError
from geo_nemo.common.lock import folder_lock
from geo_nemo.common.progress import Progress, no_progress

PUBLISHED = ("corpus", "tokenizer", "store", "drops", "splits")
# What no stage behind these reads, and what a card takes as it is there, or goes without.
_FOR_PEOPLE = ("corpus", "drops")
_NOT_FOR_A_CARD = (*_FOR_PEOPLE, "tokenizer", "tokenise", "store")


def stages(config: Prep) -> list[Stage]:
    """Every stage of a preparation with this config, in order."""
    from data_prep.card import card_stages
    from data_prep.corpus_out import corpus_stages
    from data_prep.dedup import dedup_stages
    from data_prep.ingest import Ingest
    from data_prep.overlap import overlap_stages
    from data_prep.splits import split_stages
    from data_prep.tokenise import tokenise_stages

    classes = [
        Ingest,
        *dedup_stages(),
        *split_stages(),
        *overlap_stages(),
        *corpus_stages(),
        *tokenise_stages(),
        *card_stages(),
    ]
    return [stage(config) for stage in classes]


def check_output(config: Prep) -> None:
    """UserError where a folder that a stage publishes is there and is not ours."""
    for name in PUBLISHED:
        check_replaceable(Path(config.output) / name)


def check_early(config: Prep) -> None:
    """Raise before any work what would end it late: what is brought, or an outlet table, fails."""
    from data_prep.annotate import annotation_key
    from data_prep.clean import Cleaner
    from data_prep.read.brought import brought_reader
    from data_prep.tokenise.encoders import one_core_a_process
    from data_prep.tokenise.loaded import tokenizer_of

    annotation_key(config.annotate)
    Cleaner(config.clean)
    for source in config.input:
        brought_reader(source)
    # Before a tokenizer starts threads: workers are forks of this process.
    one_core_a_process()
    choice = config.tokenizer
    if choice.path is not None:
        tokenizer_of(choice)


def run_prep(
    config: Prep, progress: Progress = no_progress, only: Sequence[str] = ()
) -> dict[str, float]:
    """Run the stages that are not finished, or those of `only`; seconds by stage.

    Raises UserError for input, config or output that cannot be used, and for a stage of `only` that
    stands behind one that is not finished; what was whole before stays.
    """
    chosen = stages(config)
    check_names(chosen, only)
    output = Path(config.output)
    check_output(config)
    check_early(config)
    seconds = {}
    with folder_lock(output), LocalWorkers(config.execution) as workers:
        for place, stage in enumerate(chosen):
            if only and stage.name not in only:
                continue
            if only:
                check_ended(stage, chosen[:place])
            started = time.perf_counter()
            run_stage(stage, progress, workers)
            seconds[stage.name] = time.perf_counter() - started
        if not config.keep_work and not only:
            shutil.rmtree(output / WORK)
    return seconds


def check_names(chain: Sequence[Stage], only: Sequence[str]) -> None:
    """UserError for a name in `only` that no stage has."""
    names = [stage.name for stage in chain]
    for name in only:
        if name not in names:
            raise UserError(f"no stage {name!r}; there are {', '.join(names)}")


def check_ended(stage: Stage, before: Sequence[Stage]) -> None:
    """UserError where a stage that `stage` reads is not finished with the settings of now.

    Keys tell what a result was to be made of; what it was made of is the files that are there.
    """
    apart = _NOT_FOR_A_CARD if stage.name in ("profile", "card") else _FOR_PEOPLE
    for each in before:
        if each.name in apart:
            continue
        try:
            each.receipts()
        except RuntimeError:
            raise UserError(
                f"stage {stage.name} of {stage.config.output} cannot run alone: stage {each.name} "
                "is not finished with these settings: run geo-nemo prep run without --stage"
            ) from None
