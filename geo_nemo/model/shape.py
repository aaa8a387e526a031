"""Sizes that follow from a model's shape; needs no torch."""

from geo_nemo.config import Model


def padded_vocab_size(model: Model, vocab_size: int) -> int:
    """`vocab_size` rounded up to the model's multiple; the same for every parallel layout."""
    multiple = model.make_vocab_size_divisible_by
    return -(-vocab_size // multiple) * multiple


def layer_matrices(model: Model) -> int:
    """Elements of a layer's weight matrices."""
    attention = 2 * model.query_size + 2 * model.key_size
    return model.hidden_size * (attention + 3 * model.ffn_hidden_size)


def qkv_biases(model: Model) -> int:
    """Biases of a layer's queries, keys and values."""
    return model.query_size + 2 * model.key_size if model.add_qkv_bias else 0


def layer_norms(model: Model) -> int:
    """Weights of a layer's norms."""
    return 2 * model.hidden_size + (2 * model.head_size if model.qk_layernorm else 0)


def parameter_count(model: Model, vocab_size: int) -> int:
    """Number of parameters, embeddings included, at the vocabulary size as given."""
    hidden = model.hidden_size
    layer = layer_matrices(model) + qkv_biases(model) + layer_norms(model)
    embeddings = vocab_size * hidden * (1 if model.share_embeddings_and_output_weights else 2)
    return model.num_layers * layer + hidden + embeddings
