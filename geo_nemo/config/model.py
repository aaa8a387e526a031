"""The shape of a model, under Megatron's names."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from geo_nemo.config.section import LATER, Positive, Section


class Model(Section):
    """Shape of a Llama decoder (RMSNorm, SwiGLU, rotary positions), or of Mistral's and Qwen's.

    rotary_scaling: factor by which slow rotations are slowed further, as in Llama 3.1 (8) and 3.2
        (32), which were first trained on sequences of 8,192; None: they are not.
    kv_channels: size of a head, where it is not hidden_size / num_attention_heads.
    add_qkv_bias: biases of queries, keys and values, and nowhere else, as in Qwen 2.5.
    qk_layernorm: an RMSNorm over each head of queries and keys, as in Qwen 3.
    group_embedding: while training, a learnt embedding of each document's group, by `groups`, is
        added before the output layer (LangSAMP); exports and evaluation are without it.
    """

    num_layers: Positive
    hidden_size: Positive
    num_attention_heads: Positive
    num_query_groups: Positive
    ffn_hidden_size: Positive
    rotary_base: Positive = 10_000
    rotary_scaling: Annotated[float | None, Field(ge=1), LATER] = None
    kv_channels: Annotated[Positive | None, LATER] = None
    add_qkv_bias: Annotated[bool, LATER] = False
    qk_layernorm: Annotated[bool, LATER] = False
    group_embedding: Annotated[bool, LATER] = False
    norm_epsilon: Annotated[float, Field(gt=0)] = 1e-5
    init_method_std: Annotated[float, Field(gt=0)] = 0.025
    share_embeddings_and_output_weights: bool = False
    make_vocab_size_divisible_by: Positive = 128

    @property
    def head_size(self) -> int:
        """Channels of a head."""
        return self.kv_channels or self.hidden_size // self.num_attention_heads

    @property
    def query_size(self) -> int:
        """Channels of all heads together."""
        return self.num_attention_heads * self.head_size

    @property
    def key_size(self) -> int:
        """Channels of all heads of keys together, and of those of values."""
        return self.num_query_groups * self.head_size

    @model_validator(mode="before")
    @classmethod
    def _one_way_to_say_it(cls, values: Any) -> Any:
        # A head size that follows from the others is none of its own: one shape has one record.
        if isinstance(values, dict) and values.get("kv_channels") is not None:
            parts = [values.get(n) for n in ("kv_channels", "num_attention_heads", "hidden_size")]
            if all(type(part) is int for part in parts) and parts[0] * parts[1] == parts[2]:
                return {**values, "kv_channels": None}
        return values

    @model_validator(mode="after")
    def _heads_fit(self):
        if self.kv_channels is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}, and kv_channels is not set"
            )
        if self.head_size % 2:
            raise ValueError(
                f"a head's size, {self.head_size}, must be even for rotary positions: it is "
                "kv_channels, or hidden_size / num_attention_heads"
            )
        if self.num_attention_heads % self.num_query_groups:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_query_groups {self.num_query_groups}"
            )
        if self.add_qkv_bias and self.qk_layernorm:
            raise ValueError(
                "add_qkv_bias and qk_layernorm go together in no model that Hugging Face's format "
                "names: set one of them to false"
            )
        return self
