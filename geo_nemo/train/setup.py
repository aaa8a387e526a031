"""What a run is made of before any process group exists: store, stages, documents, fingerprint.

Needs neither torch nor Megatron, so that `--dry-run` and every mistake of the user's come first.
"""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Parallel, Run, UserError
from geo_nemo.config.stage_bounds import borders_of, stage_borders
from geo_nemo.config.stage_sizes import laid_out_for, stage_run
from geo_nemo.config.whole import flatten
from geo_nemo.data.brought_packing import packing_identity
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.groups import Grouping, grouping_of
from geo_nemo.data.index.cache import wait_for
from geo_nemo.data.parts import index_places, of_parts
from geo_nemo.data.replay import AnyIndex
from geo_nemo.data.sampling import sampling_identity
from geo_nemo.data.stage import build_stage_index, indexed_dataset, open_store
from geo_nemo.data.token_selection import TokenSelection, selection_identity
from geo_nemo.metadata.fields import brought_fields
from geo_nemo.metadata.meta_tokens import vocab_size_of
from geo_nemo.model.fp8 import check_fp8, check_tokens
from geo_nemo.model.layout import check_layout, check_sequence
from geo_nemo.model.shape import parameter_count
from geo_nemo.runtime.launcher import local_rank, rank
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.train.checkpoint.changes import changed_settings
from geo_nemo.train.checkpoint.files import checkpoints, step_of
from geo_nemo.train.origin import Origin, find_origin
from geo_nemo.train.stage_steps import StagePlan, plan_stages, stage_of

SPLIT = "train"


@dataclass(frozen=True)
class Prepared:
    """A run whose inputs are open and checked.

    groups: of loss and accounting. indices: of the stages that were asked for. origin: of the first
    weights; None: the seed.
    """

    run: Run
    store: TokenStore
    tokenizer: Tokenizer
    groups: Grouping
    stages: list[StagePlan]
    fingerprint: dict[str, str]
    origin: Origin | None = None
    indices: dict[str, AnyIndex] = field(default_factory=dict, repr=False, compare=False)

    @property
    def vocab_size(self) -> int:
        """Rows of the model's vocabulary, without their padding."""
        return vocab_size_of(self.run, self.tokenizer)

    @property
    def parameters(self) -> int:
        """Parameters of the model, without the padding of the vocabulary."""
        return parameter_count(self.run.model, self.vocab_size)

    def index(self, stage: StagePlan, progress: Progress = no_progress) -> AnyIndex:
        """The packing index of a stage: found or built by rank 0, waited for by the others."""
        if stage.name not in self.indices:
            split = self.store.split(SPLIT)
            if rank() == 0:
                self.indices[stage.name], _ = build_stage_index(
                    self.run,
                    self.store.hash,
                    split,
                    self.tokenizer,
                    stage.name,
                    progress,
                    self.groups,
                )
            else:
                places = index_places(
                    self.run, self.store.hash, split, stage.name, self.groups.size
                )
                found = [wait_for(place, progress) for place in places]
                self.indices[stage.name] = of_parts(self.run, stage.name, found)
        return self.indices[stage.name]

    def dataset(self, stage: StagePlan, progress: Progress = no_progress) -> StageDataset:
        """The sequences of a stage, as many as its steps take; every rank must ask for it.

        The indices of the later stages are built as well, so that no step waits for one.
        """
        from geo_nemo.train.collectives import meet

        # A long build must not be a long collective operation, which would time out: the others
        # wait for every index before they meet.
        for each in self.stages[stage.index :]:
            self.index(each, progress)
        meet()
        if rank() != 0:
            # What was found before rank 0 was here may be what it has replaced since.
            for each in self.stages[stage.index :]:
                del self.indices[each.name]
        return indexed_dataset(
            self.run,
            self.store.split(SPLIT),
            self.tokenizer,
            stage.name,
            self.index(stage),
            self.groups,
        )


def prepare(
    run: Run, world_size: int, progress: Progress = no_progress, tokens: bool = True
) -> Prepared:
    """Open and check everything that `run` needs; raise `UserError` at the first mistake.

    progress: of fetching a store from `s3://`. tokens: False is for plans, which read no document:
    of a store on `s3://` their tokens are not fetched.
    """
    # Once a node: a large store has a hundred thousand files, and a job a thousand processes.
    first = local_rank() == 0
    store = open_store(run, progress, tokens, sizes=first)
    tokenizer = store.tokenizer()
    groups = grouping_of(store, run.groups)
    vocab_size = vocab_size_of(run, tokenizer)
    for name in run.stages:
        check_stage(run, name, vocab_size, world_size)
    profile = run.logging.profile
    if profile is not None and max(profile.ranks) >= world_size:
        raise UserError(
            f"logging.profile.ranks {list(profile.ranks)}: the last rank of this run is "
            f"{world_size - 1}; name some up to it"
        )
    for stage in run.stages.values():
        if stage.token_selection is not None:
            split = store.split(SPLIT)
            TokenSelection(stage.token_selection, split, store.hash, check_content=tokens and first)
    origin = find_origin(run, tokenizer)
    run = laid_out_for(run, stage_of(plan_stages(run), _standing(run)).name)
    return Prepared(
        run=run,
        store=store,
        tokenizer=tokenizer,
        groups=groups,
        stages=plan_stages(run),
        fingerprint=fingerprint(run, store, tokenizer, origin),
        origin=origin,
    )


def _standing(run: Run) -> int:
    """The step that a start goes on with, by the newest checkpoint on disk."""
    found = checkpoints(Path(run.output_dir) / "checkpoints")
    return min(max(step_of(found[-1]) if found else 0, 0), run.train.steps - 1)


def check_stage(run: Run, stage: str, vocab_size: int, world_size: int) -> None:
    """Raise `UserError` where a stage's batches or sequences do not fit the layout."""
    here = stage_run(run, stage)
    try:
        check_layout(here, vocab_size, world_size)
        check_fp8(here, vocab_size)
    except UserError as error:
        if here is run:
            raise
        raise UserError(
            f"stage {stage}, with sizes of its own: {error} (as stages.{stage}.KEY)"
        ) from None
    if run.validation.every_steps is not None:
        _check_validation(run, here.parallel)


def _check_validation(run: Run, parallel: Parallel) -> None:
    """Raise `UserError` where a layout does not fit validation's micro-batches of one sequence."""
    train = run.train.model_copy(update={"micro_batch_size": 1})
    one = run.model_copy(update={"parallel": parallel, "train": train})
    try:
        check_sequence(one)
        check_tokens(one)
    except UserError as error:
        raise UserError(f"validation.every_steps, a sequence at a time: {error}") from None


def fingerprint(
    run: Run, store: TokenStore, tokenizer: Tokenizer, origin: Origin | None = None
) -> dict[str, str]:
    """Everything that the weights at a step depend on, by the name that the user knows."""
    values = run.deciding()
    # They enter as what they lead to, below.
    for name in ("stages", "init", "average"):
        del values[name]
    flat = {key: str(value) for key, value in flatten(values).items()}
    flat["data.packing"] = packing_identity(run.data)
    for name, stage in run.stages.items():
        flat[f"stages.{name}.share"] = f"{stage.fraction:g}"
        flat[f"stages.{name}.lr"] = stage.lr.model_dump_json() if stage.lr else "null"
        flat[f"stages.{name}.metadata"] = stage.metadata.hash()
        if brought := brought_fields(stage.metadata):
            flat[f"stages.{name}.brought_fields"] = brought
        flat[f"stages.{name}.select"] = stage.select.canonical()
        flat[f"stages.{name}.sampling"] = sampling_identity(stage.sampling, name)
        for size in ("seq_length", "global_batch_size"):
            if (own := getattr(stage, size)) is not None:  # at first there were none
                flat[f"stages.{name}.{size}"] = str(own)
        if stage.replay is not None:  # at first there was none
            flat[f"stages.{name}.replay"] = stage.replay.model_dump_json()
        if stage.token_selection is not None:
            identity = selection_identity(stage.token_selection)
            flat[f"stages.{name}.token_selection"] = identity
    # Its state is laid out in another way, which the checkpoint of the other does not fill.
    flat["parallel.distributed_optimizer"] = str(run.parallel.distributed_optimizer)
    if run.average.is_kept:  # without one, nothing depends on its settings
        flat["average"] = run.average.model_dump_json()
    if origin is not None:
        # Not its path: the same weights may lie elsewhere.
        flat["init"] = f"{origin.identity} {origin.weights}" + " optimizer" * origin.optimizer
    if run.model.group_embedding:  # else groups decide nothing that is trained
        flat["groups"] = ",".join(run.groups)
    flat["store"] = store.hash
    flat["tokenizer"] = tokenizer.sha256
    flat["stages"] = hashlib.sha256("/".join(run.stages).encode()).hexdigest()[:16]
    return flat


# Paths, which a node may have of its own, or mount elsewhere; what they lead to is compared.
_OF_A_NODE = (
    "output_dir",
    "data.store",
    "data.index_dir",
    "data.cache_dir",
    "init.checkpoint",
    "token_selection",
    "logging.prometheus_textfile",
)


def shared_settings(prepared: Prepared) -> dict[str, str]:
    """What must be the same in all processes of a job, by the name that the user knows."""
    flat = flatten(prepared.run.model_dump(mode="json"))
    settings = {key: str(value) for key, value in flat.items() if not key.endswith(_OF_A_NODE)}
    return settings | {f"{key} (as it is read)": of for key, of in prepared.fingerprint.items()}


def check_fingerprint(saved: dict[str, str], current: dict[str, str], checkpoint: Path) -> None:
    """Raise `UserError` that names everything that changed since the checkpoint."""
    if changed := changed_settings(saved, current):
        # Checkpoints keep the fraction of a stage under the name that it had first.
        names = [re.sub(r"\.share$", ".fraction", name) for name in changed]
        raise _changed(names, checkpoint)


def check_borders(saved: Mapping[str, Any], run: Run, checkpoint: Path) -> None:
    """Raise `UserError` where a stage begins at another step than in the run of the checkpoint.

    saved: its settings. The fingerprint has fractions with six digits, a step in a million.
    """
    try:
        stages = {
            name: float(stage.get("fraction", stage.get("share")))
            for name, stage in saved["stages"].items()
        }
    except (KeyError, TypeError, AttributeError):
        return  # a checkpoint of before settings were kept
    if stages.keys() == run.stages.keys() and (
        borders_of(list(stages.values()), run.train.steps) != stage_borders(run)
    ):
        names = [n for n, stage in run.stages.items() if stage.fraction != stages[n]]
        raise _changed([f"stages.{name}.fraction" for name in names], checkpoint)


def _changed(names: Sequence[str], checkpoint: Path) -> UserError:
    record = checkpoint.parents[1] / "run.json"
    how = f", with geo-nemo train --config {shlex.quote(str(record))}" if record.is_file() else ""
    return UserError(
        f"{', '.join(names)} changed since the checkpoint {checkpoint}: "
        f"restore what it was{how}, or give another output_dir to start anew"
    )
