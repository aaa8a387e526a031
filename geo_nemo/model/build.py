"""Megatron-Core's GPTModel in the shape of Llama, for this process's place in the layout."""

from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.models.common.embeddings import rope_utils
from megatron.core.models.gpt import GPTModel
from megatron.core.transformer.transformer_config import TransformerConfig

from geo_nemo.config import Model, Parallel, Precision
from geo_nemo.model.fp8 import ddp_fp8, transformer_fp8
from geo_nemo.model.group_embedding import GroupEmbedding
from geo_nemo.model.initialize import initialize
from geo_nemo.model.shape import padded_vocab_size
from geo_nemo.model.spec import block_spec
from geo_nemo.model.z_loss import GPTModelWithZLoss

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def transformer_config(
    model: Model,
    parallel: Parallel,
    precision: Precision,
    device: torch.device,
    deterministic: bool = False,
) -> TransformerConfig:
    """Megatron-Core's config of the model, with the loss rule that this project holds to."""
    return TransformerConfig(
        **transformer_settings(model, parallel, precision, device, deterministic)
    )


def ddp_settings(parallel: Parallel, precision: Precision) -> dict[str, Any]:
    """What DistributedDataParallelConfig is made of, here and under other trainers.

    Gradients are sums over ranks; the division by the token count comes once, at the end.
    """
    return dict(
        grad_reduce_in_fp32=True,
        use_distributed_optimizer=parallel.distributed_optimizer,
        overlap_grad_reduce=parallel.overlap_grad_reduce,
        overlap_param_gather=parallel.overlap_param_gather,
        average_in_collective=False,
        **ddp_fp8(precision),
    )


def transformer_settings(
    model: Model,
    parallel: Parallel,
    precision: Precision,
    device: torch.device,
    deterministic: bool = False,
) -> dict[str, Any]:
    """What `transformer_config` is made of, also for the subclasses of other trainers."""
    dtype = DTYPES[precision.dtype]
    on_gpu = device.type == "cuda"
    sends_singly = parallel.virtual_pipeline > 1 and parallel.pipeline == 2
    return dict(
        num_layers=model.num_layers,
        hidden_size=model.hidden_size,
        num_attention_heads=model.num_attention_heads,
        num_query_groups=model.num_query_groups,
        ffn_hidden_size=model.ffn_hidden_size,
        kv_channels=model.head_size,
        add_qkv_bias=model.add_qkv_bias,
        qk_layernorm=model.qk_layernorm,
        layernorm_epsilon=model.norm_epsilon,
        init_method_std=model.init_method_std,
        normalization="RMSNorm",
        gated_linear_unit=True,
        activation_func=F.silu,
        add_bias_linear=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        tensor_model_parallel_size=parallel.tensor,
        pipeline_model_parallel_size=parallel.pipeline,
        virtual_pipeline_model_parallel_size=(
            parallel.virtual_pipeline if parallel.virtual_pipeline > 1 else None
        ),
        # Of two ranks each is the other's next and previous: a batch of messages mixes them up. Of
        # more, single messages are what NCCL was seen to hang on (Megatron-LM pull request 5240).
        overlap_p2p_comm=sends_singly,
        batch_p2p_comm=not sends_singly,
        context_parallel_size=parallel.context,
        # Documents are padded to what the context's ranks need: sequences differ in length.
        variable_seq_lengths=parallel.context > 1 and parallel.pipeline > 1,
        # The other dispatcher refuses different lengths, though there is no expert here.
        moe_token_dispatcher_type="alltoall",
        sequence_parallel=parallel.sequence_parallel,
        # A layer at a time: groups of layers would be computed again together.
        recompute_granularity=parallel.recompute if parallel.recompute != "none" else None,
        recompute_modules=list(parallel.recompute_modules),
        recompute_method="uniform" if parallel.recompute == "full" else None,
        recompute_num_layers=1 if parallel.recompute == "full" else None,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        bf16=dtype is torch.bfloat16,
        # Gradients are sums over tokens, divided once by the global count of unmasked tokens.
        # The default is a mean of micro-batch means, which is wrong where masked counts differ.
        calculate_per_token_loss=True,
        # `initialize` draws the weights anew, equal under every layout. This stays on all the same:
        # without it the weights are not marked as tensor-parallel, and the gradient norm under
        # TP leaves out every rank but the first.
        perform_initialization=True,
        use_cpu_initialization=not on_gpu,
        deterministic_mode=deterministic,
        **transformer_fp8(precision),
        # One kernel for all documents of a sequence; else a loop that waits for their lengths.
        apply_rope_fusion=on_gpu and rope_utils.fused_apply_rotary_pos_emb_thd is not None,
        # Kernels that exist on a GPU only. Fused cross-entropy would cast gradients to bf16.
        gradient_accumulation_fusion=False,
        masked_softmax_fusion=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        cross_entropy_loss_fusion=False,
    )


def build_model(
    model: Model,
    config: TransformerConfig,
    vocab_size: int,
    seq_length: int,
    device: torch.device,
    seed: int,
    with_z_loss: bool = False,
    chunk: int | None = None,
    num_groups: int = 0,
) -> GPTModel:
    """This pipeline stage of the model on `device`, with initial weights drawn from `seed`.

    chunk: number of the stage's chunk, where the pipeline is interleaved. num_groups: of a group
    embedding; 0: the model has none.
    """
    place = {"ignore_virtual": False, "vp_stage": chunk}
    stage = (GPTModelWithZLoss if with_z_loss else GPTModel)(
        config=config,
        transformer_layer_spec=block_spec(device, config, chunk),
        vocab_size=padded_vocab_size(model, vocab_size),
        max_sequence_length=seq_length,
        pre_process=parallel_state.is_pipeline_first_stage(**place),
        post_process=parallel_state.is_pipeline_last_stage(**place),
        share_embeddings_and_output_weights=model.share_embeddings_and_output_weights,
        position_embedding_type="rope",
        rotary_base=model.rotary_base,
        rope_scaling=model.rotary_scaling is not None,
        rope_scaling_factor=model.rotary_scaling or 1.0,
        vp_stage=chunk,
    )
    if num_groups and stage.post_process:
        stage.group_embedding = GroupEmbedding(num_groups, stage)
    stage.to(device=device)
    initialize(stage, model, seed)
    return stage
