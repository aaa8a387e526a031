"""Sizes that follow from a model's shape; needs no torch."""

from geo_nemo.config import Model, Parallel, UserError


def padded_vocab_size(model: Model, vocab_size: int) -> int:
    """`vocab_size` rounded up to the model's multiple; the same for every parallel layout."""
    multiple = model.make_vocab_size_divisible_by
    return -(-vocab_size // multiple) * multiple


def parameter_count(model: Model, vocab_size: int) -> int:
    """Number of parameters, embeddings included, at the vocabulary size as given."""
    hidden, ffn = model.hidden_size, model.ffn_hidden_size
    kv = hidden // model.num_attention_heads * model.num_query_groups
    attention = 2 * hidden * hidden + 2 * hidden * kv
    layer = attention + 3 * hidden * ffn + 2 * hidden
    embeddings = vocab_size * hidden * (1 if model.share_embeddings_and_output_weights else 2)
    return model.num_layers * layer + hidden + embeddings


def check_layout(model: Model, parallel: Parallel, vocab_size: int) -> None:
    """Raise `UserError` unless the model can be laid out so."""
    padded = padded_vocab_size(model, vocab_size)
    for name, size in (
        ("num_attention_heads", model.num_attention_heads),
        ("num_query_groups", model.num_query_groups),
        ("ffn_hidden_size", model.ffn_hidden_size),
        (f"vocabulary {vocab_size} padded to {padded}", padded),
    ):
        if size % parallel.tensor:
            raise UserError(
                f"model.{name}: {size} is not a multiple of parallel.tensor={parallel.tensor}; "
                "choose a tensor size that divides it"
            )
    if model.num_layers % parallel.pipeline:
        raise UserError(
            f"model.num_layers={model.num_layers} is not a multiple of "
            f"parallel.pipeline={parallel.pipeline}; choose a pipeline size that divides it"
        )
    if parallel.sequence_parallel and parallel.tensor == 1:
        raise UserError("parallel.sequence_parallel needs parallel.tensor above 1")
    if parallel.overlap_param_gather and not parallel.distributed_optimizer:
        raise UserError("parallel.overlap_param_gather needs parallel.distributed_optimizer=true")
    if parallel.overlap_param_gather and not parallel.overlap_grad_reduce:
        raise UserError("parallel.overlap_param_gather needs parallel.overlap_grad_reduce=true")
