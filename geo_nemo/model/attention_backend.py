"""Which kernel Transformer Engine computes attention with, told once a process.

It chooses at the first call, by the chip, its own version, and those of cuDNN and flash-attn. Where
none of them takes packed sequences it computes without a fused kernel, many times slower and with
every score in memory, and says nothing.
"""

import functools

from geo_nemo.common.log import logger

LOG = logger(__name__)


def attention_backend() -> str | None:
    """`flash`, `fused` (cuDNN's), `unfused`, or None before the first call and in fp32.

    In fp32 attention is geo_nemo's own, by torch (geo_nemo.model.spec).
    """
    try:
        from transformer_engine.pytorch.attention.dot_product_attention import _attention_backends
    except ImportError:  # another version's place for it
        return None
    # As Transformer Engine itself goes through them.
    for name in ("flash", "fused", "unfused"):
        if _attention_backends.get(f"use_{name}_attention"):
            return name
    return None


def tell_attention_backend() -> None:
    """Log what was chosen for the newest micro-batch, each kind once."""
    chosen = attention_backend()
    if chosen is not None:
        _tell(chosen)


@functools.cache
def _tell(chosen: str) -> None:
    if chosen == "unfused":
        LOG.warning(
            "attention is computed without a fused kernel, slowly: NVTE_DEBUG=1 NVTE_DEBUG_LEVEL=2 "
            "says why; flash-attn or a newer cuDNN has one for packed sequences"
        )
    else:
        LOG.info(f"attention: {'flash-attn' if chosen == 'flash' else 'fused, of cuDNN'}")
