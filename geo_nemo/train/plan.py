"""What a run would take, from its config, its store's columns and one packing window a stage."""

from dataclasses import dataclass

from geo_nemo.data.counter import derive_key
from geo_nemo.data.dataset import Statistics, all_draws
from geo_nemo.data.draws import Draws
from geo_nemo.data.mixing import Groups, check_epochs
from geo_nemo.data.window import Counts, Planner
from geo_nemo.metadata.compose import Composer
from geo_nemo.store import Split
from geo_nemo.train.setup import SPLIT, Prepared
from geo_nemo.train.stages import StagePlan

# Windows of few documents may be empty where groups are rare.
SAMPLED_WINDOWS = 64

_BYTES = {"fp32": 4, "bf16": 2}
# Activation bytes a token, layer and hidden unit without recompute, in 16-bit types, attention
# scores not stored (Korthikanti et al., arXiv 2205.05198, eq. 1 without the attention term).
_ACTIVATION_BYTES_16_BIT = 34


@dataclass(frozen=True, slots=True)
class GroupOutline:
    """One country, continent or source of a stage. tokens: of its titles and bodies in the stage.

    share: of the text tokens that the stage takes. epochs: how often its documents are seen.
    """

    name: str
    documents: int
    tokens: int
    share: float
    epochs: float


@dataclass(frozen=True, slots=True)
class StageOutline:
    """One stage in numbers.

    statistics: of its first packing windows, from which epochs and shares are estimated too.
    by: what `groups` are: country, continent or source.
    """

    name: str
    policy_hash: str
    fields: tuple[str, ...]
    steps: int
    tokens: int
    documents: int
    epochs: float
    statistics: Statistics
    by: str
    groups: tuple[GroupOutline, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one rank; activations are an estimate for one micro-batch."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations


def outline_stages(prepared: Prepared) -> list[StageOutline]:
    """Steps, tokens, documents and epochs of each stage; plans a window of each and no more."""
    split = prepared.store.split(SPLIT)
    draws = all_draws(prepared.run, split)
    return [_outline(prepared, split, stage, draws[stage.name]) for stage in prepared.stages]


def _outline(prepared: Prepared, split: Split, stage: StagePlan, draws: Draws) -> StageOutline:
    run, sampling = prepared.run, prepared.run.stages[stage.name].sampling
    samples = stage.steps * run.train.global_batch_size
    composer = Composer(stage.policy, prepared.tokenizer)
    planner = Planner(split, composer, draws, derive_key(run.seed, stage.name), run.data)
    counts = Counts()
    for number in range(SAMPLED_WINDOWS):
        counts += planner.plan(number).counts
        if counts.rows:
            break
    documents = len(draws.documents)
    drawn = samples * counts.documents / counts.rows
    groups = Groups.count(split, draws.documents, sampling.by)
    epochs = draws.epochs(groups.documents, drawn)
    check_epochs(stage.name, sampling, groups, epochs)
    text = groups.tokens * epochs
    return StageOutline(
        name=stage.name,
        policy_hash=stage.policy.hash(),
        fields=stage.policy.fields,
        steps=stage.steps,
        tokens=samples * run.data.seq_length,
        documents=documents,
        epochs=drawn / documents,
        statistics=Statistics.of(counts, documents, run.data.seq_length),
        by=sampling.by,
        groups=tuple(
            GroupOutline(name, *numbers)
            for name, *numbers in zip(
                groups.names,
                groups.documents.tolist(),
                groups.tokens.tolist(),
                (text / max(text.sum(), 1)).tolist(),
                epochs.tolist(),
                strict=True,
            )
            if numbers[0]
        ),
    )


def memory(prepared: Prepared, world_size: int) -> Memory:
    """Bytes on one rank for weights, gradients, AdamW and one micro-batch's activations."""
    run = prepared.run
    parallel, model = run.parallel, run.model
    data_parallel = parallel.data_parallel_size(world_size)
    params = prepared.parameters // (parallel.tensor * parallel.pipeline)
    width = _BYTES[run.precision.dtype]
    moments_and_master = 8 + (4 if run.precision.dtype == "bf16" else 0)
    shards = data_parallel * parallel.context if parallel.distributed_optimizer else 1
    tokens = run.train.micro_batch_size * run.data.seq_length // parallel.context
    layers = model.num_layers // parallel.pipeline
    # Micro-batches in flight on the first pipeline stage under 1F1B; some chunks of one more where
    # it is interleaved (Korthikanti et al., arXiv 2205.05198, section 4.2.3).
    in_flight = parallel.pipeline
    if parallel.virtual_pipeline > 1:
        in_flight += (parallel.pipeline - 1) / parallel.virtual_pipeline
    per_layer = _ACTIVATION_BYTES_16_BIT * width // 2 * tokens * model.hidden_size
    activations = int(per_layer * layers * in_flight / parallel.tensor)
    logits = 2 * 4 * tokens * prepared.tokenizer.vocab_size // parallel.tensor
    return Memory(
        weights=params * width,
        gradients=params * 4,
        optimizer=params * moments_and_master // shards,
        activations=activations + logits,
    )
