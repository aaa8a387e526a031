"""What a run would take, from its config and its store's manifest alone."""

from dataclasses import dataclass

from geo_nemo.data.dataset import stage_documents
from geo_nemo.train.setup import SPLIT, Prepared

_BYTES = {"fp32": 4, "bf16": 2}
# Activation bytes a token, layer and hidden unit without recompute, in 16-bit types, attention
# scores not stored (Korthikanti et al., arXiv 2205.05198, eq. 1 without the attention term).
_ACTIVATION_BYTES_16_BIT = 34


@dataclass(frozen=True, slots=True)
class StageOutline:
    """One stage in numbers.

    epochs: estimate, from the tokens of its documents without metadata and without padding.
    """

    name: str
    policy_hash: str
    fields: tuple[str, ...]
    steps: int
    tokens: int
    documents: int
    epochs: float


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
    """Steps, tokens, documents and epochs of each stage."""
    run, split = prepared.run, prepared.store.split(SPLIT)
    per_step = run.train.global_batch_size * run.data.seq_length
    lengths = split.title_lengths + split.body_lengths
    shares = [run.stages[stage.name].share for stage in prepared.stages]
    documents = stage_documents(split.num_documents, shares, run.seed)
    outlines = []
    for stage, chosen in zip(prepared.stages, documents, strict=True):
        tokens = stage.steps * per_step
        outlines.append(
            StageOutline(
                name=stage.name,
                policy_hash=stage.policy.hash(),
                fields=stage.policy.fields,
                steps=stage.steps,
                tokens=tokens,
                documents=len(chosen),
                epochs=tokens / max(int(lengths[chosen].sum()), 1),
            )
        )
    return outlines


def memory(prepared: Prepared, world_size: int) -> Memory:
    """Bytes on one rank for weights, gradients, AdamW and one micro-batch's activations."""
    run = prepared.run
    parallel, model = run.parallel, run.model
    model_parallel = parallel.model_parallel_size
    data_parallel = world_size // model_parallel
    params = prepared.parameters // model_parallel
    width = _BYTES[run.precision.dtype]
    moments_and_master = 8 + (4 if run.precision.dtype == "bf16" else 0)
    shards = data_parallel if parallel.distributed_optimizer else 1
    tokens = run.train.micro_batch_size * run.data.seq_length
    layers = model.num_layers // parallel.pipeline
    activations = (
        _ACTIVATION_BYTES_16_BIT
        * width
        // 2
        * tokens
        * model.hidden_size
        * layers
        # Micro-batches in flight on the first pipeline stage under 1F1B.
        * parallel.pipeline
    ) // parallel.tensor
    logits = 2 * 4 * tokens * prepared.tokenizer.vocab_size // parallel.tensor
    return Memory(
        weights=params * width,
        gradients=params * 4,
        optimizer=params * moments_and_master // shards,
        activations=activations + logits,
    )
