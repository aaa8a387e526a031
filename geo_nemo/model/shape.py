"""Sizes that follow from a model's shape; needs no torch."""

from geo_nemo.config import Model


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
