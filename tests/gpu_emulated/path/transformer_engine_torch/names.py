"""Types and constants of transformer_engine_torch 2.12, by the names and numbers that they have."""

import enum

import torch


class DType(enum.IntEnum):
    """Of a tensor's elements, in the kernels' numbering."""

    kByte = 0
    kInt32 = 2
    kFloat32 = 4
    kFloat16 = 5
    kBFloat16 = 6
    kFloat8E4M3 = 7
    kFloat8E5M2 = 8
    kFloat8E8M0 = 9
    kFloat4E2M1 = 10


TORCH = {
    DType.kByte: torch.uint8,
    DType.kInt32: torch.int32,
    DType.kFloat32: torch.float32,
    DType.kFloat16: torch.float16,
    DType.kBFloat16: torch.bfloat16,
    DType.kFloat8E4M3: torch.float8_e4m3fn,
    DType.kFloat8E5M2: torch.float8_e5m2,
}
LARGEST = {DType.kFloat8E4M3: 448.0, DType.kFloat8E5M2: 57344.0}


def _counted(name: str, values: str, prefix: str = "") -> type[enum.IntEnum]:
    return enum.IntEnum(name, {prefix + value: at for at, value in enumerate(values.split())})


FP8FwdTensors = _counted(
    "FP8FwdTensors", "1_INPUT 1_WEIGHT 1_OUTPUT 2_INPUT 2_WEIGHT 2_OUTPUT 3_INPUT 3_WEIGHT "
    "3_OUTPUT", "GEMM"
)  # fmt: skip
FP8BwdTensors = _counted("FP8BwdTensors", "OUTPUT1 INPUT1 OUTPUT2 INPUT2 OUTPUT3 INPUT3", "GRAD_")
NVTE_Bias_Type = _counted("NVTE_Bias_Type", "NO_BIAS PRE_SCALE_BIAS POST_SCALE_BIAS ALIBI", "NVTE_")
NVTE_Mask_Type = _counted(
    "NVTE_Mask_Type", "NO_MASK PADDING_MASK CAUSAL_MASK PADDING_CAUSAL_MASK "
    "CAUSAL_BOTTOM_RIGHT_MASK PADDING_CAUSAL_BOTTOM_RIGHT_MASK", "NVTE_"
)  # fmt: skip
NVTE_Softmax_Type = _counted(
    "NVTE_Softmax_Type", "VANILLA_SOFTMAX OFF_BY_ONE_SOFTMAX LEARNABLE_SOFTMAX", "NVTE_"
)
NVTE_QKV_Format = _counted(
    "NVTE_QKV_Format", "SBHD BSHD THD BSHD_2SBHD SBHD_2BSHD THD_2BSHD THD_2SBHD", "NVTE_"
)
NVTE_QKV_Layout = _counted(
    "NVTE_QKV_Layout",
    "SB3HD SBH3D SBHD_SB2HD SBHD_SBH2D SBHD_SBHD_SBHD BS3HD BSH3D BSHD_BS2HD BSHD_BSH2D "
    "BSHD_BSHD_BSHD T3HD TH3D THD_T2HD THD_TH2D THD_THD_THD SBHD_BSHD_BSHD BSHD_SBHD_SBHD "
    "THD_BSHD_BSHD THD_SBHD_SBHD Paged_KV_BSHD_BSHD_BSHD Paged_KV_BSHD_SBHD_SBHD "
    "Paged_KV_SBHD_BSHD_BSHD Paged_KV_SBHD_SBHD_SBHD Paged_KV_THD_BSHD_BSHD "
    "Paged_KV_THD_SBHD_SBHD",
    "NVTE_",
)


class NVTE_Fused_Attn_Backend(enum.IntEnum):
    """Kernels of attention that cuDNN has."""

    NVTE_No_Backend = -1
    NVTE_F16_max512_seqlen = 0
    NVTE_F16_arbitrary_seqlen = 1
    NVTE_FP8 = 2


Float8BlockScaleTensorFormat = _counted(
    "Float8BlockScaleTensorFormat", "GEMM_READY COMPACT INVALID"
)
CommOverlapType = _counted("CommOverlapType", "RS AG")
CommOverlapAlgo = _counted(
    "CommOverlapAlgo",
    "BULK_OVERLAP_AG BULK_OVERLAP_RS SPLIT_PIPELINED_AG_P2P SPLIT_PIPELINED_RS "
    "SPLIT_PIPELINED_RS_P2P ATOMIC_GEMM_RS ATOMIC_GEMM_AG_P2P ATOMIC_GEMM_RS_P2P "
    "EXTERNAL_BULK_OVERLAP_AG",
)


class FP8TensorMeta: ...


class CommOverlapHelper: ...


class CommOverlapCore: ...


class CommOverlapBase(CommOverlapCore): ...


class CommOverlapP2PBase(CommOverlapCore): ...


class CommOverlap(CommOverlapBase): ...


class CommOverlapP2P(CommOverlapP2PBase): ...
