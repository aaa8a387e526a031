"""Layer specs: Transformer Engine's modules on a GPU, Megatron's own with SDPA on a CPU."""

import torch
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import (
    TransformerBlockSubmodules,
    get_num_layers_to_build,
)
from megatron.core.transformer.transformer_config import TransformerConfig

from geo_nemo.config import UserError
from geo_nemo.model.attention import DocumentAttention


class RMSNorm(torch.nn.RMSNorm):
    """torch's RMSNorm whose weight tells Megatron-Core that it sees a part of the sequence."""

    def __init__(self, config, hidden_size: int, eps: float = 1e-5, **unused):
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel


def block_spec(
    device: torch.device, config: TransformerConfig, chunk: int | None = None
) -> ModuleSpec | TransformerBlockSubmodules:
    """Spec of this pipeline stage's decoder block for `device`, or of one of its chunks."""
    if device.type == "cuda":
        # By name: `import transformer_engine` passes over the ImportError of its part for torch.
        try:
            import transformer_engine.pytorch  # noqa: F401
        except ImportError as error:
            raise UserError(
                "training on a GPU needs Transformer Engine, which does not import here "
                f"({error}); use NVIDIA's PyTorch container, or in the checkout "
                "pip install -e '.[gpu]'"
            ) from error
        layer = get_gpt_layer_with_transformer_engine_spec(qk_layernorm=config.qk_layernorm)
        if config.params_dtype is torch.float32:
            # Transformer Engine's fused attention is for 16-bit types, and not every version of its
            # plain one takes packed sequences.
            layer.submodules.self_attention.submodules.core_attention = DocumentAttention
        return layer
    layer = get_gpt_layer_local_spec(normalization="RMSNorm")
    layer.submodules.input_layernorm = RMSNorm
    layer.submodules.pre_mlp_layernorm = RMSNorm
    attention = layer.submodules.self_attention.submodules
    attention.core_attention = DocumentAttention
    if config.qk_layernorm:
        attention.q_layernorm = attention.k_layernorm = RMSNorm
    return TransformerBlockSubmodules(
        layer_specs=[layer] * get_num_layers_to_build(config, chunk), layer_norm=RMSNorm
    )
