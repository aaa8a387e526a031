"""Bytes that a rank needs under a layout, and bytes of a checkpoint; needs no torch.

Weights, gradients and optimizer state are counted; activations are an estimate: what the backward
pass needs of the forward pass, tensor by tensor, in the manner of Korthikanti et al. (arXiv
2205.05198) for this model: grouped queries, SwiGLU without fusion, no attention scores; under FP8
they are counted as in BF16, which is more. CUDA's context, NCCL's buffers and fragmentation come on
top.
"""

from dataclasses import dataclass

from geo_nemo.config import Model, Run
from geo_nemo.model.fp8 import fp8_layers
from geo_nemo.model.layout import Layout
from geo_nemo.model.shape import (
    layer_matrices,
    layer_norms,
    padded_vocab_size,
    parameter_count,
    qkv_biases,
)

WIDTHS = {"fp32": 4, "bf16": 2}
_FP32 = 4


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one rank.

    pipeline_rank, parameters: of this rank. average: of the weights, where one is kept.
    activations: of all micro-batches in flight.
    loss: logits of a micro-batch and what the cross-entropy makes of them.
    weight_gradient: of the largest weight, before it is added to `gradients`.
    """

    pipeline_rank: int
    parameters: int
    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    loss: int
    weight_gradient: int

    @property
    def total(self) -> int:
        """All of it."""
        state = self.weights + self.gradients + self.optimizer + self.average
        return state + self.activations + self.loss + self.weight_gradient


def worst_rank(run: Run, vocab_size: int, layout: Layout) -> Memory:
    """The rank of a layout that needs most."""
    ranks = range(run.parallel.pipeline)
    return max((rank_memory(run, vocab_size, layout, r) for r in ranks), key=lambda m: m.total)


def rank_memory(run: Run, vocab_size: int, layout: Layout, pipeline_rank: int) -> Memory:
    """What the ranks of one pipeline stage need."""
    model, parallel = run.model, run.parallel
    width = WIDTHS[run.precision.dtype]
    parameters = rank_parameters(model, vocab_size, layout, pipeline_rank)
    shards = layout.data * parallel.context if parallel.distributed_optimizer else 1
    tokens = -(-run.train.micro_batch_size * run.data.seq_length // parallel.context)
    last = pipeline_rank == parallel.pipeline - 1
    layers = layout.layers * chunks_in_flight(layout, pipeline_rank)
    # What is kept of every layer, and what the one that is computed again makes besides.
    again = layer_bytes(run) - (kept_bytes(run) if parallel.recompute != "full" else 0)
    kept = layers * kept_bytes(run) + again
    kept += _norm_bytes(run) if last else 0
    matrices = [model.hidden_size * model.ffn_hidden_size * 2]  # gate and up are one
    if last or pipeline_rank == 0:
        matrices.append(padded_vocab_size(model, vocab_size) * model.hidden_size)
    return Memory(
        pipeline_rank=pipeline_rank,
        parameters=parameters,
        weights=parameters * width + _fp8_copies(run, layout),
        gradients=parameters * _FP32,
        optimizer=-(-parameters * optimizer_width(run) // shards),
        average=-(-parameters * _FP32 // shards) if run.average.is_kept else 0,
        activations=tokens * kept,
        loss=tokens * loss_bytes(run, vocab_size) if last else 0,
        weight_gradient=max(matrices) * width // parallel.tensor,
    )


def kept_bytes(run: Run) -> int:
    """Bytes a token that a layer keeps from its forward to its backward pass, on one rank.

    Under recomputation less than `layer_bytes`: its input alone (`full`), or all but what the
    chosen modules make (`selective`). A norm's output, which Transformer Engine makes again where
    it is fused with the MLP, is counted.
    """
    parallel, model = run.parallel, run.model
    if parallel.recompute == "full":
        return _input_bytes(run)
    again = 0
    if parallel.recompute == "selective":
        if "mlp" in parallel.recompute_modules:  # gate and up in one, silu, up, their product
            again += WIDTHS[run.precision.dtype] * 5 * model.ffn_hidden_size
        if "core_attn" in parallel.recompute_modules:  # log-sum-exp
            again += _FP32 * model.num_attention_heads
    return layer_bytes(run) - again // parallel.tensor


def _fp8_copies(run: Run, layout: Layout) -> int:
    """Bytes of FP8 weights beside those in BF16, each once by rows and once by columns.

    Weights that are kept in FP8 are these two, in the place of BF16.
    """
    if not run.precision.fp8.on or run.precision.fp8.parameters:
        return 0
    layers = min(layout.layers * layout.parallel.virtual_pipeline, fp8_layers(run))
    return 2 * layers * layer_matrices(run.model) // layout.parallel.tensor


def rank_parameters(model: Model, vocab_size: int, layout: Layout, pipeline_rank: int) -> int:
    """Parameters that a rank holds, padding of the vocabulary included."""
    parallel, hidden = layout.parallel, model.hidden_size
    layers = layout.layers * parallel.virtual_pipeline
    divided = layer_matrices(model) + qkv_biases(model)
    count = layers * (divided // parallel.tensor + layer_norms(model))
    embedding = padded_vocab_size(model, vocab_size) * hidden // parallel.tensor
    first, last = pipeline_rank == 0, pipeline_rank == parallel.pipeline - 1
    if first:
        count += embedding
    if last:
        count += hidden
        # A tied output layer on another rank than the embedding is a copy of it.
        if not (first and model.share_embeddings_and_output_weights):
            count += embedding
    return count


def chunks_in_flight(layout: Layout, pipeline_rank: int) -> int:
    """Chunks of layers whose activations a rank holds at once, as Megatron-Core schedules them.

    Without interleaving (1F1B) a rank has one chunk, of all its layers.
    """
    parallel = layout.parallel
    stages, chunks = parallel.pipeline, parallel.virtual_pipeline
    behind = stages - pipeline_rank - 1
    if chunks == 1:
        return min(behind + 1, layout.micro_batches)
    return min(2 * behind + (chunks - 1) * stages + 1, layout.micro_batches * chunks)


def layer_bytes(run: Run) -> int:
    """Bytes a token that a layer keeps for its backward pass, on one rank, without recomputation.

    Each of two norms: its input, its output as the input of the projections, and a factor in fp32.
    Attention: query and key rotated, value, the output, and log-sum-exp in fp32. On a CPU query,
    key and value are kept in one, and sine and cosine for both; Transformer Engine's kernel keeps
    none of these. MLP: gate and up in one, silu of the gate, up, their product.
    """
    model, tensor = run.model, run.parallel.tensor
    hidden, width = model.hidden_size, WIDTHS[run.precision.dtype]
    heads, query, key = model.num_attention_heads, model.query_size, model.key_size
    attention, rotation = 2 * query + 2 * key, 0
    if run.device == "cpu":
        attention, rotation = attention + query + key, 4 * model.head_size
    factors = heads
    if model.qk_layernorm:  # what goes into the norms, on a CPU queries taken out of the one, too
        attention += query + key + (query if run.device == "cpu" else 0)
        factors += heads + model.num_query_groups
    divided = width * (attention + 5 * model.ffn_hidden_size) + _FP32 * factors
    around = _around(run, width * 4 * hidden + 2 * _FP32)
    return around + width * rotation + divided // tensor


def loss_bytes(run: Run, vocab_size: int) -> int:
    """Bytes a token of logits and cross-entropy, which works in place and in fp32.

    In bf16 logits, or their gradient, stand beside that. The z-loss keeps a softmax of its own, and
    needs as much again for its gradient.
    """
    width = 0 if run.precision.dtype == "fp32" else WIDTHS[run.precision.dtype]
    a_logit = _FP32 + width + (2 * _FP32 if run.train.z_loss else 0)
    return padded_vocab_size(run.model, vocab_size) // run.parallel.tensor * a_logit


def optimizer_width(run: Run) -> int:
    """Bytes of AdamW's state a parameter: two moments, and the fp32 weights beside bf16 ones."""
    return 2 * WIDTHS[run.precision.moments] + (_FP32 if run.precision.dtype != "fp32" else 0)


@dataclass(frozen=True, slots=True)
class CheckpointSize:
    """Bytes of a checkpoint: of the weights in it, and of all of it."""

    weights: int
    total: int


def checkpoint_size(run: Run, vocab_size: int) -> CheckpointSize:
    """Tensors of a checkpoint, whatever the layout; index and records are a few KB a tensor more.

    The distributed optimizer's part has the fp32 weights too where the model is in fp32.
    """
    parameters = parameter_count(run.model, padded_vocab_size(run.model, vocab_size))
    weights = parameters * WIDTHS[run.precision.dtype]
    state = 3 * _FP32 if run.parallel.distributed_optimizer else optimizer_width(run)
    state += _FP32 if run.average.is_kept else 0
    return CheckpointSize(weights, weights + parameters * state)


def _input_bytes(run: Run) -> int:
    """Bytes a token of a layer's input."""
    return _around(run, WIDTHS[run.precision.dtype] * run.model.hidden_size)


def _norm_bytes(run: Run) -> int:
    """Bytes a token of the last norm: its input, its output and a factor."""
    return _around(run, WIDTHS[run.precision.dtype] * 2 * run.model.hidden_size + _FP32)


def _around(run: Run, size: int) -> int:
    """Bytes between the parts that tensor parallelism divides: whole, or divided by tokens."""
    return size // run.parallel.tensor if run.parallel.sequence_parallel else size
